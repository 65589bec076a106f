// SPDX-License-Identifier: Apache-2.0
// From the firmware's calendar time to seconds since 1970. Pure: host-compiled and unit-tested.
#pragma once
#include <cstdint>

namespace ballast::loader {
/// EFI_TIME without its padding. Source: UEFI 2.10 §8.3, GetTime().
struct CalendarTime {
    std::uint16_t year;        ///< 1900 to 9999
    std::uint8_t month;        ///< 1 to 12
    std::uint8_t day;          ///< 1 to 31
    std::uint8_t hour;         ///< 0 to 23
    std::uint8_t minute;       ///< 0 to 59
    std::uint8_t second;       ///< 0 to 59
    std::int16_t zone_minutes; ///< UTC minus local time, -1440 to 1440, or kUnspecifiedZone, read as UTC
};
inline constexpr std::int16_t kUnspecifiedZone = 0x7ff;

/// Seconds since 1970-01-01 UTC; 0 for a date that does not exist or lies before 1970.
constexpr std::uint64_t epoch_seconds(CalendarTime const& time) {
    if (time.year < 1970 || time.year > 9999 || time.month < 1 || time.month > 12 || time.day < 1 ||
        time.hour > 23 || time.minute > 59 || time.second > 59)
        return 0;
    bool const leap = (time.year % 4 == 0 && time.year % 100 != 0) || time.year % 400 == 0;
    constexpr std::uint8_t kDays[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (time.day > kDays[time.month - 1] + (leap && time.month == 2 ? 1 : 0)) return 0;

    std::int64_t const past_years = time.year - 1;
    std::int64_t days = past_years * 365 + past_years / 4 - past_years / 100 + past_years / 400 - 719'162;
    for (int month = 1; month < time.month; month++)
        days += kDays[month - 1] + (leap && month == 2 ? 1 : 0);
    days += time.day - 1;
    bool const zone_known = time.zone_minutes >= -1440 && time.zone_minutes <= 1440;
    std::int64_t const minutes =
        (days * 24 + time.hour) * 60 + time.minute + (zone_known ? time.zone_minutes : 0);
    std::int64_t const seconds = minutes * 60 + time.second;
    return seconds < 0 ? 0 : static_cast<std::uint64_t>(seconds);
}
static_assert(epoch_seconds({1970, 1, 1, 0, 0, 0, 0}) == 0);
static_assert(epoch_seconds({2026, 1, 1, 0, 0, 0, kUnspecifiedZone}) == 1'767'225'600);
} // namespace ballast::loader
