// SPDX-License-Identifier: Apache-2.0
#include "hv/base/format.hpp"

namespace hv {
namespace {
struct Spec {
    bool left = false, zero = false, hex = false;
    u32 width = 0;
};

Spec parse_spec(std::string_view text) {
    Spec spec;
    for (char c : text) {
        if (c == '-') {
            spec.left = true;
        } else if (c == 'x') {
            spec.hex = true;
        } else if (c == '0' && spec.width == 0) {
            spec.zero = true;
        } else if (c >= '0' && c <= '9' && spec.width < 100) {
            spec.width = spec.width * 10 + static_cast<u32>(c - '0');
        }
    }
    return spec;
}

void put_padded(TextBuffer& out, std::string_view text, Spec spec, bool negative) {
    u32 const length = static_cast<u32>(text.size()) + (negative ? 1 : 0);
    u32 const pad = spec.width > length ? spec.width - length : 0;
    bool const zeros = spec.zero && !spec.left;
    for (u32 i = 0; !spec.left && !zeros && i < pad; ++i) {
        out.put(' ');
    }
    if (negative) {
        out.put('-');
    }
    for (u32 i = 0; zeros && i < pad; ++i) {
        out.put('0');
    }
    out.put(text);
    for (u32 i = 0; spec.left && i < pad; ++i) {
        out.put(' ');
    }
}

void put_argument(TextBuffer& out, u8 kind, u64 word, Spec spec) {
    char digits[20];
    std::string_view text;
    bool negative = false;
    switch (kind) {
    case FormatArgs::Text: text = *reinterpret_cast<std::string_view const*>(word); break;
    case FormatArgs::CText: text = reinterpret_cast<char const*>(word); break;
    case FormatArgs::Boolean: text = word != 0 ? "true" : "false"; break;
    case FormatArgs::Char:
        digits[0] = static_cast<char>(word);
        text = {digits, 1};
        break;
    default:
        negative = kind == FormatArgs::Signed && !spec.hex && static_cast<s64>(word) < 0;
        u64 value = negative ? ~word + 1 : word;
        u32 const radix = spec.hex ? 16 : 10;
        u32 first = sizeof digits;
        do {
            digits[--first] = "0123456789abcdef"[value % radix];
            value /= radix;
        } while (value != 0);
        text = {digits + first, sizeof digits - first};
    }
    put_padded(out, text, spec, negative);
}
} // namespace

void format_to(TextBuffer& out, std::string_view pattern, FormatArgs args) {
    for (usize i = 0; i < pattern.size(); ++i) {
        if (pattern[i] != '{') {
            out.put(pattern[i]);
            continue;
        }
        if (i + 1 < pattern.size() && pattern[i + 1] == '{') {
            out.put('{');
            ++i;
            continue;
        }
        usize end = i;
        while (end < pattern.size() && pattern[end] != '}') {
            ++end;
        }
        Spec const spec = parse_spec(pattern.substr(i + 1, end - i - 1));
        if (u8 const kind = args.kinds & 0xf; kind != FormatArgs::None) {
            put_argument(out, kind, *args.words++, spec);
            args.kinds >>= 4;
        } else {
            out.put("{?}");
        }
        i = end;
    }
}
} // namespace hv
