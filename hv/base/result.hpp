// SPDX-License-Identifier: Apache-2.0
// Failure travels in the type. The hypervisor has no exceptions, and Clang 14 does not see libstdc++ 12's
// std::expected.
#pragma once
#include "hv/base/assert.hpp"
#include <new>
#include <type_traits>
#include <utility>

namespace hv {
template <class E>
struct Err {
    E error;
};
template <class E>
Err(E) -> Err<E>;

/// A value, or the small enum that says why there is none.
template <class T, class E>
class [[nodiscard]] Result {
    static_assert(std::is_trivially_copyable_v<E>);

  public:
    constexpr Result(T value) : ok_{true}, value_{std::move(value)} {}
    template <class F>
    requires std::is_convertible_v<F, E>
    constexpr Result(Err<F> e) : ok_{false}, error_{static_cast<E>(e.error)} {}
    Result(Result&& o) noexcept : ok_{o.ok_} {
        if (ok_) {
            new (&value_) T(std::move(o.value_));
        } else {
            new (&error_) E(o.error_);
        }
    }
    Result(Result const& o) : ok_{o.ok_} {
        if (ok_) {
            new (&value_) T(o.value_);
        } else {
            new (&error_) E(o.error_);
        }
    }
    Result& operator=(Result const&) = delete;
    constexpr ~Result() {
        if (ok_) {
            value_.~T();
        }
    }

    constexpr bool ok() const { return ok_; }
    constexpr explicit operator bool() const { return ok_; }
    constexpr T& value() {
        HV_ASSERT(ok_);
        return value_;
    }
    constexpr T const& value() const {
        HV_ASSERT(ok_);
        return value_;
    }
    constexpr T take() {
        HV_ASSERT(ok_);
        return std::move(value_);
    }
    constexpr E error() const {
        HV_ASSERT(!ok_);
        return error_;
    }
    constexpr T value_or(T other) const { return ok_ ? value_ : other; }

  private:
    bool ok_;
    union {
        T value_;
        E error_;
    };
};

template <class E>
class [[nodiscard]] Result<void, E> {
  public:
    constexpr Result() : ok_{true}, error_{} {}
    template <class F>
    requires std::is_convertible_v<F, E>
    constexpr Result(Err<F> e) : ok_{false}, error_{static_cast<E>(e.error)} {}
    constexpr bool ok() const { return ok_; }
    constexpr explicit operator bool() const { return ok_; }
    constexpr E error() const {
        HV_ASSERT(!ok_);
        return error_;
    }
    constexpr void take() const { HV_ASSERT(ok_); }

  private:
    bool ok_;
    E error_;
};

/// Yields the value of a Result, or returns its error from the enclosing function (whose error type must take
/// it).
#define HV_TRY(...) HV_TRY_NAMED(HV_TRY_CONCAT(hv_try_, __COUNTER__), __VA_ARGS__)
#define HV_TRY_CONCAT(a, b) HV_TRY_CONCAT2(a, b)
#define HV_TRY_CONCAT2(a, b) a##b
#define HV_TRY_NAMED(result, ...)                                                                            \
    ({                                                                                                       \
        auto result = (__VA_ARGS__);                                                                         \
        if (!result.ok()) return ::hv::Err{result.error()};                                                  \
        result.take();                                                                                       \
    })
} // namespace hv
