// SPDX-License-Identifier: Apache-2.0
#include "hv/dm/dm_service.hpp"
#include <cstring>

namespace hv::dm {
namespace {
constexpr vmbus::ChannelOffer kOffer{
    .type = vmbus::guid("525074dc-8985-46e2-8057-a307dc18a502"),
    .instance = vmbus::guid("1eccfd72-4b41-45ef-b73a-4a6e44c12924"),
};
// One request at most: the guest works it off in one go, and a smaller piece shows progress sooner.
constexpr u64 kMostPagesPerBalloonRequest = 512 * MiB / kPageBytes;
// The guest frees the pages of an unballoon message in softirq context.
constexpr u64 kMostPagesPerGiveBack = 128 * MiB / kPageBytes;
// One hot-add request: Linux waits up to 5 s for each 128 MiB that user space does not bring online.
constexpr u64 kMostPagesPerHotAdd = 512 * MiB / kPageBytes;
constexpr u64 kMib = MiB / kPageBytes;

std::span<u8 const> bytes_of(auto const& message) {
    return {reinterpret_cast<u8 const*>(&message), sizeof message};
}
} // namespace

vmbus::ChannelOffer const& DmService::offer() const {
    return kOffer;
}

void DmService::reset() {
    forget_driver(State::Closed);
}

void DmService::forget_driver(State next) {
    state_ = next;
    sink_ = nullptr;
    hot_add_possible_ = false;
    at_floor_ = false;
    batch_pages_ = 0;
    lost_pages_ = 0;
    left_pages_ = 0;
    region_end_pfn_ = 0;
    pressure_ = {};
}

void DmService::opened(vmbus::ChannelSink& sink) {
    if (state_ == State::Distrusted) {
        sink.break_channel(); // whoever lied may not begin anew: it is the same kernel
        return;
    }
    forget_driver(State::Version);
    lost_pages_ = effects_.ballooned_pages(); // a reloaded driver starts with an empty balloon
    sink_ = &sink;
}

void DmService::closed() {
    forget_driver(state_ == State::Distrusted ? state_ : State::Closed);
}

void DmService::writable() {
    if (state_ == State::GivingBack && batch_pages_ == 0) {
        continue_giving_back();
    }
}

void DmService::tick(u64 now_100ns) {
    now_100ns_ = now_100ns;
}

template <class T>
bool DmService::take(std::span<u8 const> message, T& out) {
    if (message.size() < sizeof out) {
        ++counters_.malformed;
        return false;
    }
    std::memcpy(&out, message.data(), sizeof out);
    return true;
}

bool DmService::send(std::span<u8 const> message) {
    // Full: the handshake's small answers always fit a 16 KiB ring that the driver drains; a guest that lets
    // it fill is not answered.
    return sink_ != nullptr && sink_->send_inband(message, 0) == vmbus::SendStatus::Ok;
}

template <class T>
bool DmService::send_message(T& message, wire::Type type) {
    message.header = {static_cast<u16>(type), sizeof message, next_transaction_++};
    return send(bytes_of(message));
}

void DmService::received(vmbus::Packet const& packet) {
    wire::Header header;
    if (state_ == State::Distrusted || packet.kind != vmbus::Packet::Kind::InBand ||
        !take(packet.payload, header)) {
        return;
    }
    if (header.bytes < sizeof header || header.bytes > packet.payload.size()) {
        ++counters_.malformed;
        return;
    }
    auto const message = packet.payload.first(header.bytes);
    switch (static_cast<wire::Type>(header.type)) {
    case wire::Type::VersionRequest: on_version(message); break;
    case wire::Type::CapabilitiesReport: on_capabilities(message); break;
    case wire::Type::StatusReport: on_status(message); break;
    case wire::Type::BalloonResponse: on_balloon_response(message); break;
    case wire::Type::HotAddResponse: on_hot_add_response(message); break;
    case wire::Type::UnballoonResponse:
        if (state_ == State::GivingBack && batch_pages_ != 0) {
            batch_pages_ = 0;
            asked_at_100ns_ = now_100ns_;
            continue_giving_back();
        } else {
            ++counters_.unexpected;
        }
        break;
    default: ++counters_.malformed; break;
    }
}

void DmService::on_version(std::span<u8 const> message) {
    wire::VersionRequest request;
    if (!take(message, request)) {
        return;
    }
    if (state_ != State::Version) {
        ++counters_.unexpected;
        return;
    }
    bool const accepted = request.version == wire::kVersion2_0 || request.version == wire::kVersion1_0 ||
                          request.version == wire::kVersion0_3;
    wire::Accepted answer{.header = {}, .flags = accepted ? 1u : 0u};
    send_message(answer, wire::Type::VersionResponse);
    if (accepted) {
        state_ = State::Capabilities;
    }
}

void DmService::on_capabilities(std::span<u8 const> message) {
    wire::CapabilitiesReport report;
    if (!take(message, report)) {
        return;
    }
    if (state_ != State::Capabilities) {
        ++counters_.unexpected;
        return;
    }
    hot_add_possible_ = (report.flags & 2) != 0;
    // Linux says 7 (128 MiB) to 11; 0 from a guest that leaves it out. Anything may be sent: 2^15 MiB is
    // still sane.
    u64 const exponent = wire::HotAddAlignment::get(report.flags);
    hot_add_unit_pages_ = kMib << (exponent < 7 ? 7 : exponent);
    wire::Accepted answer{.header = {}, .flags = 1};
    send_message(answer, wire::Type::CapabilitiesResponse);
    wire::InfoMaxPages info{.header = {},
                            .reserved = 0,
                            .info_bytes = 16,
                            .item_type = 0,
                            .item_bytes = 8,
                            .maximum_pages = maximum_pages_};
    send_message(info, wire::Type::InfoMessage);
    idle();
}

u64 DmService::returnable_pages() const {
    u64 const ballooned = effects_.ballooned_pages();
    return ballooned > lost_pages_ ? ballooned - lost_pages_ : 0;
}

/// What this driver takes. A region begins at a unit's edge, or Linux refuses it for now and for ever: where
/// an earlier instance left a region half filled, or the unit is larger than the window's alignment, none
/// can.
u64 DmService::hot_addable_pages() const {
    u64 const next = effects_.hot_add_next_pfn();
    bool const fits = next < region_end_pfn_ || next % hot_add_unit_pages_ == 0;
    return hot_add_possible_ && fits ? effects_.hot_add_left_pages() : 0;
}

PartitionView DmService::view(u64 now_100ns) const {
    return {.assigned = effects_.assigned_pages(),
            .demand = pressure_.demand_pages,
            .minimum = 0,
            .maximum = 0,
            .ballooned = returnable_pages(),
            .hot_addable = hot_addable_pages(),
            .hot_add_unit = hot_add_unit_pages_,
            .reporting = pressure_.valid,
            .can_act = ready(),
            .cooperative = liveness(now_100ns) == Liveness::Active,
            .at_floor = at_floor_};
}

/// Pages that the guest may count as ballooned while we do not: it has taken them out and not told yet, or
/// has not seen them come back.
u64 DmService::unsettled_pages() const {
    return state_ == State::Ballooning ? left_pages_ : batch_pages_;
}

void DmService::on_status(std::span<u8 const> message) {
    wire::StatusReport report;
    if (!take(message, report)) {
        return;
    }
    if (state_ < State::Ready) {
        ++counters_.unexpected;
        return;
    }
    // The numbers are the guest's word: bounded so that no later sum overflows, otherwise believed.
    constexpr u64 kMost = 1ull << 40;
    u64 const committed = report.committed_pages < kMost ? report.committed_pages : kMost;
    u64 const balloon = returnable_pages();
    u64 demand = committed > balloon ? committed - balloon : 0;
    if (pressure_.valid && demand > pressure_.demand_pages) {
        // During an operation a rise may be the operation itself, seen half-way.
        u64 const unsettled = unsettled_pages();
        u64 const certain = demand > unsettled ? demand - unsettled : 0;
        demand = certain > pressure_.demand_pages ? certain : pressure_.demand_pages;
    }
    pressure_ = {.valid = true,
                 .available_pages = report.available_pages < kMost ? report.available_pages : kMost,
                 .committed_pages = committed,
                 .demand_pages = demand,
                 .at_100ns = now_100ns_};
    ++counters_.reports;
}

bool DmService::can_start(Operation::Kind kind) const {
    if (state_ != State::Ready) {
        return false;
    }
    switch (kind) {
    case Operation::Kind::None: return false;
    case Operation::Kind::Balloon: return true;
    case Operation::Kind::GiveBack: return returnable_pages() != 0;
    case Operation::Kind::HotAdd: return hot_addable_pages() != 0;
    }
    return false;
}

bool DmService::start(Operation operation, u64 now_100ns) {
    if (operation.pages == 0 || !can_start(operation.kind)) {
        return false;
    }
    now_100ns_ = now_100ns;
    asked_at_100ns_ = now_100ns;
    switch (operation.kind) {
    case Operation::Kind::Balloon: return start_ballooning(operation.pages);
    case Operation::Kind::HotAdd: return start_hot_add(operation.pages);
    case Operation::Kind::GiveBack:
        left_pages_ = operation.pages < returnable_pages() ? operation.pages : returnable_pages();
        state_ = State::GivingBack;
        at_floor_ = false;
        give_back_from_ = 0;
        continue_giving_back();
        return true;
    case Operation::Kind::None: break;
    }
    return false;
}

bool DmService::start_ballooning(u64 pages) {
    left_pages_ = pages < kMostPagesPerBalloonRequest ? pages : kMostPagesPerBalloonRequest;
    wire::BalloonRequest request{.header = {}, .pages = static_cast<u32>(left_pages_), .reserved = 0};
    if (!send_message(request, wire::Type::BalloonRequest)) {
        return false;
    }
    state_ = State::Ballooning;
    at_floor_ = false;
    return true;
}

void DmService::on_balloon_response(std::span<u8 const> message) {
    wire::RangesHead head;
    if (!take(message, head)) {
        return;
    }
    if (state_ != State::Ballooning) {
        // Pages nobody asked for: take none, or a guest could drop below its minimum by itself.
        ++counters_.unexpected;
        return;
    }
    u64 const left_before = left_pages_;
    bool const more = (head.second & 1) != 0;
    u64 const count = head.second >> 1;
    if (count > (message.size() - sizeof head) / 8) {
        ++counters_.malformed;
        distrust();
        return;
    }
    for (u64 i = 0; i < count; ++i) {
        u64 word;
        std::memcpy(&word, message.data() + sizeof head + i * 8, 8);
        PageRange const range{wire::RangeStart::get(word), wire::RangePages::get(word)};
        if (range.pages > left_pages_ || !effects_.balloon_out(range)) {
            ++counters_.foreign_ranges;
            distrust();
            return;
        }
        left_pages_ -= range.pages;
        counters_.ballooned_pages += range.pages;
    }
    if (left_pages_ != left_before) {
        asked_at_100ns_ = now_100ns_; // a message without pages is no sign of life
    }
    if (more) {
        return;
    }
    if (left_pages_ != 0) {
        ++counters_.short_answers;
        at_floor_ = true;
    }
    idle();
}

void DmService::continue_giving_back() {
    // Back first, then tell: the guest may write to the pages at once.
    u8* const ranges = message_ + sizeof(wire::RangesHead);
    u32 count = 0;
    u64 batch = 0;
    bool out_of_frames = false;
    while (left_pages_ != 0 && batch < kMostPagesPerGiveBack && count < wire::kMaxRanges) {
        u64 const most =
            left_pages_ < kMostPagesPerGiveBack - batch ? left_pages_ : kMostPagesPerGiveBack - batch;
        PageRange const range = effects_.next_ballooned(give_back_from_, most);
        if (range.pages == 0) {
            left_pages_ = 0;
            break;
        }
        if (!effects_.give_back(range)) {
            out_of_frames = true;
            break;
        }
        u64 const word = wire::RangeStart::of(range.first_pfn) | wire::RangePages::of(range.pages);
        std::memcpy(ranges + count * 8, &word, 8);
        ++count;
        batch += range.pages;
        left_pages_ -= range.pages;
        give_back_from_ = range.first_pfn + range.pages;
    }
    if (out_of_frames) {
        left_pages_ = 0;
    }
    if (count == 0) {
        idle();
        return;
    }
    wire::RangesHead head{.header = {static_cast<u16>(wire::Type::UnballoonRequest),
                                     static_cast<u16>(sizeof head + count * 8), next_transaction_++},
                          .first = 0,
                          .second = count};
    std::memcpy(message_, &head, sizeof head);
    if (!send({message_, sizeof head + count * 8})) {
        // The pages are backed but the guest was not told: take them out again, they hold nothing of anybody.
        for (u32 i = 0; i < count; ++i) {
            u64 word;
            std::memcpy(&word, ranges + i * 8, 8);
            effects_.balloon_out({wire::RangeStart::get(word), wire::RangePages::get(word)}).take();
        }
        left_pages_ += batch;
        give_back_from_ = 0;
        return; // writable() tries again
    }
    counters_.given_back_pages += batch;
    batch_pages_ = batch;
}

bool DmService::start_hot_add(u64 pages) {
    u64 const next = effects_.hot_add_next_pfn();
    u64 const left = effects_.hot_add_left_pages();
    if (pages > left) {
        pages = left;
    }
    if (pages > kMostPagesPerHotAdd) {
        pages = kMostPagesPerHotAdd;
    }
    // Inside a region the shorter message continues it, up to its end.
    bool const new_region = next >= region_end_pfn_;
    if (!new_region && pages > region_end_pfn_ - next) {
        pages = region_end_pfn_ - next;
    }
    if (pages == 0 || !effects_.hot_add(pages)) {
        return false;
    }
    wire::HotAddRequest request{
        .header = {}, .range = wire::RangeStart::of(next) | wire::RangePages::of(pages), .region = 0};
    u64 const region_end = new_region ? next + align_up(pages, hot_add_unit_pages_) : region_end_pfn_;
    if (new_region) {
        request.region = wire::RangeStart::of(next) | wire::RangePages::of(region_end - next);
    }
    constexpr u16 kShortForm = 16;
    u16 const bytes = new_region ? u16{sizeof request} : kShortForm;
    request.header = {static_cast<u16>(wire::Type::HotAddRequest), bytes, next_transaction_++};
    if (!send(bytes_of(request).first(bytes))) {
        effects_.undo_hot_add(pages);
        return false;
    }
    left_pages_ = pages;
    region_end_pfn_ = region_end;
    state_ = State::HotAdding;
    return true;
}

void DmService::on_hot_add_response(std::span<u8 const> message) {
    wire::HotAddResponse answer;
    if (!take(message, answer)) {
        return;
    }
    if (state_ != State::HotAdding) {
        ++counters_.unexpected;
        return;
    }
    u64 const taken = answer.pages < left_pages_ ? answer.pages : left_pages_;
    counters_.hot_added_pages += taken;
    if (taken < left_pages_) {
        ++counters_.short_answers;
        effects_.undo_hot_add(left_pages_ - taken);
        // Zero pages with result 1, or a part only: the guest takes no more. Zero with 0: try again later.
        // It knows the region either way: what is tried again there continues it.
        if (answer.result != 0) {
            hot_add_possible_ = false;
        }
    }
    left_pages_ = 0;
    idle();
}

void DmService::distrust() {
    state_ = State::Distrusted;
    pressure_.valid = false;
    sink_->break_channel();
}

DmService::Liveness DmService::liveness(u64 now_100ns) const {
    if (state_ < State::Ready || state_ == State::Distrusted) {
        return Liveness::Absent;
    }
    if (state_ == State::Ready || now_100ns <= asked_at_100ns_) {
        return Liveness::Active;
    }
    u64 const waiting = now_100ns - asked_at_100ns_;
    if (waiting >= kUncooperativeAfter) {
        return Liveness::Uncooperative;
    }
    return waiting >= kInactiveAfter ? Liveness::Inactive : Liveness::Active;
}
} // namespace hv::dm
