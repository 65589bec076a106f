// SPDX-License-Identifier: Apache-2.0
#include "hv/platform/rtc.hpp"
#include "hv/platform/platform_map.hpp"

namespace hv::platform {
namespace {
// MC146818 datasheet, "Address map".
constexpr u8 kSecond = 0, kSecondAlarm = 1, kMinute = 2, kMinuteAlarm = 3, kHour = 4, kHourAlarm = 5,
             kWeekday = 6, kDay = 7, kMonth = 8, kYear = 9, kRegisterA = 0x0a, kRegisterB = 0x0b,
             kRegisterC = 0x0c, kRegisterD = 0x0d;
constexpr u8 kUpdateInProgress = 0x80;
constexpr u8 kSet = 0x80, kPeriodicEnable = 0x40, kAlarmEnable = 0x20, kUpdateEnable = 0x10, kBinary = 0x04,
             k24Hour = 0x02;
constexpr u8 kIrq = 0x80, kPeriodicFlag = 0x40, kAlarmFlag = 0x20, kUpdateFlag = 0x10, kFlags = 0x70,
             kRate = 0x0f;
constexpr u8 kValidRam = 0x80, kPm = 0x80, kDontCare = 0xc0;
constexpr u64 k100nsPerSecond = 10'000'000;
/// UIP announces the update this long before (datasheet: 244 µs); the update itself takes no time.
constexpr u64 kUpdateNotice100ns = 2'440;

constexpr bool is_time(u8 index) {
    return index == kSecond || index == kMinute || index == kHour || (index >= kWeekday && index <= kYear) ||
           index == kRtcCentury;
}
constexpr u8 days_in(u32 year, u8 month) {
    constexpr u8 kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool const leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return static_cast<u8>(kDays[month - 1] + (month == 2 && leap ? 1 : 0));
}
} // namespace

void Rtc::attach_to(PortBus& bus) {
    bus.attach(port::kRtc, 2, *this, PortBus::Width::Bytes);
}

void Rtc::power_on() {
    cmos_[kRegisterA] = 0x26; // 32.768 kHz, 1024 Hz
    cmos_[kRegisterB] = k24Hour;
    cmos_[kRegisterD] = kValidRam;
    seen_second_ = seconds();
}

void Rtc::reset() {
    if ((cmos_[kRegisterB] & kSet) != 0) {
        commit_time();
    }
    cmos_[kRegisterB] &= static_cast<u8>(~(kSet | kFlags));
    cmos_[kRegisterC] = 0;
    index_ = 0;
    line_.set(false);
    plan();
}

u64 Rtc::seconds() const {
    return clock_.wall_clock() / k100nsPerSecond + static_cast<u64>(offset_seconds_);
}

u32 Rtc::read(u16 port, u8) {
    return port == port::kRtc ? 0xff : read_cmos(index_);
}

void Rtc::write(u16 port, u8, u32 value) {
    if (port == port::kRtc) {
        index_ = value & 0x7f; // bit 7 masks NMI, which nothing here raises
    } else {
        write_cmos(index_, static_cast<u8>(value));
    }
}

u8 Rtc::encode(u8 value) const {
    return (cmos_[kRegisterB] & kBinary) != 0 ? value : static_cast<u8>(value / 10 << 4 | value % 10);
}
u8 Rtc::decode(u8 value) const {
    return (cmos_[kRegisterB] & kBinary) != 0 ? value : static_cast<u8>((value >> 4) * 10 + (value & 0xf));
}
u8 Rtc::encode_hour(u8 hour) const {
    if ((cmos_[kRegisterB] & k24Hour) != 0) {
        return encode(hour);
    }
    u8 const twelve = static_cast<u8>(hour % 12 == 0 ? 12 : hour % 12);
    return static_cast<u8>(encode(twelve) | (hour >= 12 ? kPm : 0));
}
u8 Rtc::decode_hour(u8 value) const {
    if ((cmos_[kRegisterB] & k24Hour) != 0) {
        return decode(value);
    }
    u8 const twelve = decode(value & 0x7f);
    return static_cast<u8>(twelve % 12 + ((value & kPm) != 0 ? 12 : 0));
}

/// Puts the present time into the time bytes.
void Rtc::latch_time() {
    CivilTime const t = civil_from_seconds(seconds());
    cmos_[kSecond] = encode(t.second);
    cmos_[kMinute] = encode(t.minute);
    cmos_[kHour] = encode_hour(t.hour);
    cmos_[kWeekday] = t.weekday;
    cmos_[kDay] = encode(t.day);
    cmos_[kMonth] = encode(t.month);
    cmos_[kYear] = encode(static_cast<u8>(t.year % 100));
    cmos_[kRtcCentury] = encode(static_cast<u8>(t.year / 100));
}

/// Makes the time bytes the present time. What is not a date leaves the clock as it was.
void Rtc::commit_time() {
    CivilTime const t{.year = decode(cmos_[kRtcCentury]) * 100u + decode(cmos_[kYear]),
                      .month = decode(cmos_[kMonth]),
                      .day = decode(cmos_[kDay]),
                      .hour = decode_hour(cmos_[kHour]),
                      .minute = decode(cmos_[kMinute]),
                      .second = decode(cmos_[kSecond]),
                      .weekday = 0};
    if (t.year < 1601 || t.month < 1 || t.month > 12 || t.day < 1 || t.day > days_in(t.year, t.month) ||
        t.hour > 23 || t.minute > 59 || t.second > 59) {
        return;
    }
    offset_seconds_ = static_cast<s64>(seconds_from_civil(t) - clock_.wall_clock() / k100nsPerSecond);
    seen_second_ = seconds();
}

u8 Rtc::read_cmos(u8 index) {
    bool const setting = (cmos_[kRegisterB] & kSet) != 0;
    if (is_time(index)) {
        if (!setting) {
            latch_time();
        }
        return cmos_[index];
    }
    if (index == kRegisterA) {
        bool const updating = !setting && fraction_100ns() >= k100nsPerSecond - kUpdateNotice100ns;
        return static_cast<u8>((cmos_[kRegisterA] & ~kUpdateInProgress) | (updating ? kUpdateInProgress : 0));
    }
    if (index == kRegisterC) {
        catch_up();
        u8 const flags = cmos_[kRegisterC];
        cmos_[kRegisterC] = 0; // reading acknowledges
        line_.set(false);
        plan();
        return flags;
    }
    return cmos_[index];
}

void Rtc::write_cmos(u8 index, u8 value) {
    bool const setting = (cmos_[kRegisterB] & kSet) != 0;
    if (is_time(index)) {
        if (!setting) {
            latch_time();
        }
        cmos_[index] = value;
        if (!setting) {
            commit_time();
            plan();
        }
        return;
    }
    switch (index) {
    case kRegisterA:
        catch_up(); // at the old rate
        cmos_[index] = value & 0x7f;
        seen_period_ = periods();
        plan();
        break;
    case kRegisterB: write_control(value); break;
    case kRegisterC:
    case kRegisterD: break; // read-only
    case kSecondAlarm:
    case kMinuteAlarm:
    case kHourAlarm:
        catch_up(); // by the old alarm
        cmos_[index] = value;
        plan();
        break;
    default: cmos_[index] = value; break;
    }
}

void Rtc::write_control(u8 value) {
    bool const was_setting = (cmos_[kRegisterB] & kSet) != 0;
    bool const setting = (value & kSet) != 0;
    catch_up();
    if (setting && !was_setting) {
        latch_time();
    }
    // Setting the clock inhibits update interrupts (datasheet, "Register B: SET").
    cmos_[kRegisterB] = static_cast<u8>(setting ? value & ~kUpdateEnable : value);
    if (!setting && was_setting) {
        commit_time();
    }
    catch_up();
    plan();
}

bool Rtc::alarm_field_matches(u8 index, u8 value) const {
    u8 const wanted = cmos_[index];
    if ((wanted & kDontCare) == kDontCare) {
        return true;
    }
    return wanted == (index == kHourAlarm ? encode_hour(value) : encode(value));
}

/// The first second after @p after_second at which the alarm matches, or kNever.
u64 Rtc::next_alarm(u64 after_second) const {
    u64 at = after_second + 1;
    for (unsigned step = 0; step < 200; ++step) { // 24 hours, 60 minutes, 60 seconds, and the wrap of each
        u64 const in_day = at % 86400;
        if (!alarm_field_matches(kHourAlarm, static_cast<u8>(in_day / 3600))) {
            at += 3600 - at % 3600;
        } else if (!alarm_field_matches(kMinuteAlarm, static_cast<u8>(in_day / 60 % 60))) {
            at += 60 - at % 60;
        } else if (!alarm_field_matches(kSecondAlarm, static_cast<u8>(in_day % 60))) {
            ++at;
        } else {
            return at;
        }
    }
    return kNever;
}

/// Periodic interrupts a second that register A asks for; 0: none. At most 8192 (datasheet, table "Periodic
/// interrupt rate", 32.768 kHz).
u64 Rtc::periodic_hz() const {
    u8 const rate = cmos_[kRegisterA] & kRate;
    return rate == 0 ? 0 : rate <= 2 ? 512u >> rate : 65536u >> rate;
}

/// Periods that have ended since reference time 0.
u64 Rtc::periods() const {
    u64 const now = clock_.reference_time();
    return now / k100nsPerSecond * periodic_hz() + now % k100nsPerSecond * periodic_hz() / k100nsPerSecond;
}

/// Sets the flags of what happened since the last look, and the line with them.
void Rtc::catch_up() {
    u8 const control = cmos_[kRegisterB];
    u64 const now = seconds();
    if ((control & kSet) == 0 && now > seen_second_) {
        cmos_[kRegisterC] |= kUpdateFlag;
        if (next_alarm(seen_second_) <= now) {
            cmos_[kRegisterC] |= kAlarmFlag;
        }
        seen_second_ = now;
    }
    if ((control & kPeriodicEnable) != 0 && periods() > seen_period_) {
        cmos_[kRegisterC] |= kPeriodicFlag;
    }
    seen_period_ = periods();
    if ((cmos_[kRegisterC] & control & kFlags) != 0) {
        cmos_[kRegisterC] |= kIrq;
        line_.set(true);
    } else {
        cmos_[kRegisterC] &= static_cast<u8>(~kIrq);
        line_.set(false);
    }
}

/// When the next enabled interrupt is due, in reference time.
void Rtc::plan() {
    u8 const control = cmos_[kRegisterB];
    deadline_ = kNever;
    if ((control & kSet) != 0 || (cmos_[kRegisterC] & kIrq) != 0) {
        return; // nothing new until the guest has acknowledged
    }
    u64 due = kNever;
    if ((control & kUpdateEnable) != 0) {
        due = seen_second_ + 1;
    } else if ((control & kAlarmEnable) != 0) {
        due = next_alarm(seen_second_);
    }
    if (due != kNever) {
        u64 const now = seconds();
        u64 const ahead = due > now ? (due - now) * k100nsPerSecond - fraction_100ns() : 0;
        deadline_ = clock_.reference_time() + ahead;
    }
    if (u64 const hz = periodic_hz(); (control & kPeriodicEnable) != 0 && hz != 0) {
        u64 const next = seen_period_ + 1;
        u64 const at = next / hz * k100nsPerSecond + (next % hz * k100nsPerSecond + hz - 1) / hz;
        deadline_ = at < deadline_ ? at : deadline_;
    }
}

void Rtc::on_time() {
    catch_up();
    plan();
}
} // namespace hv::platform
