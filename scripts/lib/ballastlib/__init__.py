# SPDX-License-Identifier: Apache-2.0
"""What Ballast's commands (scripts/*) share: set-up, build, disk images, machines, tests. Standard library only."""
