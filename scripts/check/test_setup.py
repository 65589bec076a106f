# SPDX-License-Identifier: Apache-2.0
"""Set-up, the choice of a bed, and disk images."""
import errno
import subprocess
import shutil
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import fakes  # noqa: F401  first: it finds the package
from ballastlib import apt, beds, cases, fdt, image, setup
from ballastlib.say import Failure


class SetUp(unittest.TestCase):
    def test_what_apt_could_not_fetch_is_the_reason(self):
        with tempfile.TemporaryDirectory() as text:
            archive = apt.PrivateApt(Path(text) / "apt", ["deb http://127.0.0.1:9/debian bookworm main"])
            archive.options += ["-o", "Acquire::Retries=0", "-o", "Acquire::http::Proxy=DIRECT"]
            archive.update()
            for ask in (lambda: archive.depends("no-such-package"), lambda: archive.source("no-such-package", Path(text) / "source"),
                        lambda: archive.download("no-such-package", Path(text)), lambda: archive.download_closure(["no-such-package"])):
                with self.assertRaisesRegex(Failure, "no-such-package: failed with status 100\n(.*\n)*.*Failed to fetch http://127.0.0.1:9/"):
                    ask()

    def test_progress_of_an_installation(self):
        told = []
        progress = apt.Progress(told.append)
        lines = ["dlstatus:1:4.0:Retrieving file 1 of 9", "dlstatus:2:31.5:Retrieving file 2 of 9", "dlstatus:2:33:Retrieving file 2 of 9",
                 "E: Unable to correct problems", "pmstatus:libc6:amd64:20.5:Unpacking libc6:amd64", "pmstatus:dpkg-exec:19.9:Running dpkg",
                 "pmstatus:gcc:100.0:Installed gcc"]
        self.assertEqual([line for line in lines if not progress.take(line)], ["E: Unable to correct problems"])
        self.assertEqual([text.strip() for text in told], ["downloaded 30 %", "installed 20 %", "installed 100 %"])

    def test_without_apt(self):
        with mock.patch.object(shutil, "which", return_value=None), self.assertRaisesRegex(Failure, "this is no Debian"):
            apt.missing(["gcc"])

    def test_who_asks_for_a_set_up_gets_another_try_for_bochs(self):
        with tempfile.TemporaryDirectory() as text, mock.patch.object(setup, "BOCHS3", Path(text)), mock.patch.object(setup, "CACHE", Path(text)), \
                mock.patch.object(setup, "install_packages"), mock.patch.dict(setup._STEPS, {"zydis": mock.Mock(), "kernel": mock.Mock()}), \
                mock.patch.object(setup.apt, "other_release_lines", side_effect=Failure("no network")) as tried:
            for action, tries in ((setup.setup, 1), (setup.setup, 1), (lambda: setup.entry([]), 2), (setup.setup, 2)):
                action()
                self.assertEqual(tried.call_count, tries)


class ChoiceOfBed(unittest.TestCase):
    VMX = beds.Kvm("VMX", nested={"kvm_intel": "Y"})
    SVM = beds.Kvm("SVM", nested={"kvm_amd": "1"})
    NO_DEVICE = beds.Kvm("VMX", opening=FileNotFoundError(errno.ENOENT, "No such file or directory"))
    NO_PERMISSION = beds.Kvm("SVM", opening=PermissionError(errno.EACCES, "Permission denied"), nested={"kvm_amd": "1"})

    def qemu_because(self, kvm, reason):
        """Without KVM, auto is software QEMU and says why; who asked for KVM is told the same."""
        bed, why = beds.choose_bed("auto", kvm)
        self.assertEqual(bed, "qemu")
        self.assertRegex(why, r"^software QEMU \(SVM\); no nested KVM: .*" + reason)
        with self.assertRaisesRegex(Failure, f"no nested KVM here: .*{reason}.*--bed qemu"):
            beds.choose_bed("kvm", kvm)

    def test_kvm_that_carries_a_hypervisor_is_taken_and_its_vendor_told(self):
        for wanted in ("auto", "kvm"):
            self.assertEqual(beds.choose_bed(wanted, self.VMX), ("kvm", "nested KVM (VMX)"))
            self.assertEqual(beds.choose_bed(wanted, self.SVM), ("kvm", "nested KVM (SVM)"))

    def test_without_a_device(self):
        self.qemu_because(self.NO_DEVICE, "there is no /dev/kvm: modprobe kvm_intel")
        self.qemu_because(beds.Kvm("SVM", self.NO_DEVICE.opening), "there is no /dev/kvm: modprobe kvm_amd")

    def test_without_permission_it_says_what_to_do(self):
        self.qemu_because(self.NO_PERMISSION, r"no permission to use /dev/kvm: sudo usermod -aG kvm \$USER")

    def test_with_a_device_that_cannot_carry_a_hypervisor(self):
        for kvm, reason in ((beds.Kvm(opening=self.NO_DEVICE.opening), "the processor offers neither VMX nor SVM"),
                            (beds.Kvm("VMX", opening=OSError(errno.ENODEV, "No such device")), "/dev/kvm: No such device"),
                            (beds.Kvm("VMX", using=OSError(errno.EBUSY, "busy")), "/dev/kvm does not work: busy"),
                            (beds.Kvm("VMX", nested={"kvm_intel": "N"}), "modprobe kvm_intel nested=1"),
                            (beds.Kvm("SVM", nested={"kvm_amd": "0"}), "modprobe kvm_amd nested=1"),
                            (beds.Kvm("SVM"), "neither kvm_intel nor kvm_amd is loaded")):
            with self.subTest(reason):
                self.qemu_because(kvm, reason)

    def test_a_named_emulator_is_taken_with_kvm_and_without(self):
        for kvm in (self.VMX, self.NO_DEVICE):
            self.assertEqual(beds.choose_bed("qemu", kvm)[0], "qemu")
            self.assertEqual(beds.choose_bed("bochs", kvm)[0], "bochs")
        with self.assertRaisesRegex(Failure, "allowed are qemu, bochs, kvm"):
            beds.choose_bed("xen", self.VMX)

    def look(self, folder, flags, device, **modules):
        """What is found on a machine made of files."""
        (folder / "cpuinfo").write_text(f"processor\t: 0\nvmx flags\t: vnmi\nflags\t\t: fpu {flags} lm\n")
        for name, switch in modules.items():
            (folder / name / "parameters").mkdir(parents=True)
            (folder / name / "parameters/nested").write_text(switch + "\n")
        return beds.look_at_kvm(device, folder, folder / "cpuinfo")

    def test_looking_finds_processor_device_and_modules(self):
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            kvm = self.look(folder, "vmx", folder / "kvm", kvm_intel="Y")
            self.assertEqual((kvm.extension, kvm.opening.errno, kvm.using, kvm.nested), ("VMX", errno.ENOENT, None, {"kvm_intel": "Y"}))
            (folder / "kvm").write_bytes(b"")  # can be opened, and is no KVM
            kvm = self.look(folder, "svm", folder / "kvm", kvm_amd="0")
            self.assertEqual((kvm.extension, kvm.opening, kvm.using.errno), ("SVM", None, errno.ENOTTY))
            self.assertEqual(kvm.nested, {"kvm_intel": "Y", "kvm_amd": "0"})
            self.assertIsNone(self.look(folder, "svm_lock", folder / "kvm").extension)


class Images(unittest.TestCase):
    TEXT = cases.config(cases.partition("a", "one.bin", initrd="two.bin", modules=["one.bin", "two.bin"]),
                        cases.partition("b", "one.bin"), reserve_mib=64, numa_spanning=True)

    def compile(self, folder):
        dts = Path(folder) / "x.dts"
        dts.write_text(self.TEXT)
        return image.compile_configuration(dts)

    def test_paths_become_esp_paths_and_files_are_shared(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("one.bin", "two.bin"):
                (Path(folder) / name).write_bytes(name.encode())
            root = self.compile(folder)
            placed = image.place_images(root, Path(folder), "gcc")
            self.assertEqual(sorted(placed), ["/images/0-one.bin", "/images/1-two.bin"])
            a, b = root.child("partitions").children
            self.assertEqual(a.strings("modules"), ["/images/0-one.bin", "/images/1-two.bin"])
            self.assertEqual(b.strings("kernel"), ["/images/0-one.bin"])
            again = fdt.parse(fdt.serialise(root))
            self.assertEqual(again.child("partitions").children[0].strings("initrd"), ["/images/1-two.bin"])
            self.assertEqual(again.child("host").cell("reserve-mib"), 64)
            self.assertEqual(again.child("host").properties["numa-spanning"], b"")
            blob = Path(folder) / "again.dtb"
            blob.write_bytes(fdt.serialise(root))
            subprocess.run(["dtc", "-q", "-I", "dtb", "-O", "dts", "-o", "/dev/null", blob], check=True)

    def test_a_missing_image_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            root = self.compile(folder)
            with self.assertRaisesRegex(Failure, f'partition a, key kernel: image "one.bin": {folder}/one.bin does not exist'):
                image.place_images(root, Path(folder), "gcc")
            (Path(folder) / "one.bin").mkdir()
            with self.assertRaisesRegex(Failure, "one.bin is no file"):
                image.place_images(root, Path(folder), "gcc")

    def test_a_value_that_is_no_name_is_told(self):
        for value in ("<5>", '""', "[01 02 00]", "[61 62]"):
            dts = f"/dts-v1/; / {{ partitions {{ a {{ kernel = {value}; }}; }}; }};"
            with tempfile.TemporaryDirectory() as folder, self.subTest(value), mock.patch.object(self, "TEXT", dts):
                with self.assertRaisesRegex(Failure, "partition a, key kernel: (wants a name in quotes|image)"):
                    image.place_images(self.compile(folder), Path(folder), "gcc")

    def test_the_disk_holds_the_files(self):
        with tempfile.TemporaryDirectory() as folder:
            disk = Path(folder) / "disk.img"
            image.make_disk(disk, {"/EFI/BOOT/BOOTX64.EFI": b"loader", "/images/0-a": b"image"})
            read = subprocess.run(["mtype", "-i", f"{disk}@@{1 << 20}", "::/images/0-a"], capture_output=True, check=True)
            self.assertEqual(read.stdout, b"image")
            checked = subprocess.run(["/sbin/sgdisk", "-v", disk], capture_output=True, text=True, check=True)
            self.assertIn("No problems found", checked.stdout)


if __name__ == "__main__":
    unittest.main()
