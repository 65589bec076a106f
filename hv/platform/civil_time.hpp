// SPDX-License-Identifier: Apache-2.0
// Calendar arithmetic: seconds since 1601-01-01 UTC (the epoch of Hyper-V's and Windows' clocks) to fields.
#pragma once
#include "hv/base/types.hpp"

namespace hv::platform {
struct CivilTime {
    u32 year; ///< 1601 …
    u8 month; ///< 1–12
    u8 day;   ///< 1–31
    u8 hour;  ///< 0–23
    u8 minute;
    u8 second;
    u8 weekday; ///< 1 Sunday … 7 Saturday, as the RTC counts
    constexpr bool operator==(CivilTime const&) const = default;
};

/// Days from 1601-01-01 in the proleptic Gregorian calendar. @p month and @p day must be real.
constexpr u64 days_from_civil(u32 year, u8 month, u8 day) {
    // Years begin in March, so that the leap day is the last; 1601-03-01 is day 59.
    u64 const y = year - 1600 - (month <= 2 ? 1 : 0);
    u64 const m = month <= 2 ? month + 9u : month - 3u;
    u64 const day_of_year = (153 * m + 2) / 5 + day - 1;
    return y * 365 + y / 4 - y / 100 + y / 400 + day_of_year - 306;
}

constexpr u64 seconds_from_civil(CivilTime const& t) {
    return days_from_civil(t.year, t.month, t.day) * 86400 + t.hour * 3600u + t.minute * 60u + t.second;
}

constexpr CivilTime civil_from_seconds(u64 seconds) {
    u64 const days = seconds / 86400;
    u32 const in_day = static_cast<u32>(seconds % 86400);
    u64 const shifted = days + 306; // since 1600-03-01
    u64 const era = shifted / 146097;
    u64 const day_of_era = shifted % 146097;
    u64 const year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    u64 const day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    u64 const m = (5 * day_of_year + 2) / 153;
    u8 const month = static_cast<u8>(m < 10 ? m + 3 : m - 9);
    return {.year = static_cast<u32>(1600 + era * 400 + year_of_era + (month <= 2 ? 1 : 0)),
            .month = month,
            .day = static_cast<u8>(day_of_year - (153 * m + 2) / 5 + 1),
            .hour = static_cast<u8>(in_day / 3600),
            .minute = static_cast<u8>(in_day / 60 % 60),
            .second = static_cast<u8>(in_day % 60),
            .weekday = static_cast<u8>((days + 1) % 7 + 1)}; // 1601-01-01 was a Monday
}
static_assert(civil_from_seconds(0) == CivilTime{1601, 1, 1, 0, 0, 0, 2});
static_assert(civil_from_seconds(11'644'473'600) == CivilTime{1970, 1, 1, 0, 0, 0, 5});
static_assert(seconds_from_civil({2024, 2, 29, 23, 59, 59, 0}) - 11'644'473'600 == 1'709'251'199);
} // namespace hv::platform
