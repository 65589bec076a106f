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

namespace detail {
/// What a Result is made of. Trivial for trivial values, so that a small one comes back in registers.
template <class T, class E,
          bool Trivial = std::is_trivially_copyable_v<T>&& std::is_trivially_destructible_v<T>>
struct ResultStorage {
    bool ok;
    union {
        T value;
        E error;
    };
    constexpr ResultStorage(T v) : ok{true}, value{std::move(v)} {}
    constexpr ResultStorage(Err<E> e) : ok{false}, error{e.error} {}
};

template <class T, class E>
struct ResultStorage<T, E, false> {
    bool ok;
    union {
        T value;
        E error;
    };
    constexpr ResultStorage(T v) : ok{true}, value{std::move(v)} {}
    constexpr ResultStorage(Err<E> e) : ok{false}, error{e.error} {}
    ResultStorage(ResultStorage&& o) noexcept : ok{o.ok} {
        if (ok) {
            new (&value) T(std::move(o.value));
        } else {
            new (&error) E(o.error);
        }
    }
    ResultStorage(ResultStorage const& o) : ok{o.ok} {
        if (ok) {
            new (&value) T(o.value);
        } else {
            new (&error) E(o.error);
        }
    }
    ResultStorage& operator=(ResultStorage const&) = delete;
    constexpr ~ResultStorage() {
        if (ok) {
            value.~T();
        }
    }
};
} // namespace detail

/// A value, or the small enum that says why there is none.
template <class T, class E>
class [[nodiscard]] Result {
    static_assert(std::is_trivially_copyable_v<E>);

  public:
    constexpr Result(T value) : is_{std::move(value)} {}
    template <class F>
    requires std::is_convertible_v<F, E>
    constexpr Result(Err<F> e) : is_{Err<E>{static_cast<E>(e.error)}} {}

    constexpr bool ok() const { return is_.ok; }
    constexpr explicit operator bool() const { return is_.ok; }
    constexpr T& value() {
        HV_ASSERT(is_.ok);
        return is_.value;
    }
    constexpr T const& value() const {
        HV_ASSERT(is_.ok);
        return is_.value;
    }
    constexpr T take() {
        HV_ASSERT(is_.ok);
        return std::move(is_.value);
    }
    constexpr E error() const {
        HV_ASSERT(!is_.ok);
        return is_.error;
    }
    constexpr T value_or(T other) const { return is_.ok ? is_.value : other; }

  private:
    detail::ResultStorage<T, E> is_;
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
