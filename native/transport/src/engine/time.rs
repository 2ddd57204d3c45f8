//! Deadlines. All of them are looked at in one pass each tick: some nanoseconds for each connection, and nothing to keep in order.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Engine;
use super::slab::Key;
use super::state::{Due, Phase, Proto, Stage, UpStage};
use crate::layout::{FailReason, Fault};

/// An endpoint that had so long may be blamed for the end of a client's patience, ms. Whoever gives it less would have it taken for broken, and with it what others ask of it.
const FAIR_MS: u64 = 1_000;

impl Engine {
    pub(super) fn check_deadlines(&mut self) {
        self.check_exchanges();
        self.check_downs();
        self.check_ups();
    }

    fn check_exchanges(&mut self) {
        for slot in 0..self.exchanges.len() as u32 {
            let x = &self.exchanges[slot as usize];
            if matches!(x.phase, Phase::Free | Phase::Over) {
                continue;
            }
            if x.call_deadline <= self.now {
                self.call_is_late(slot);
                continue;
            }
            if x.write_due <= self.now {
                self.abort(slot, false);
                self.cut(slot);
                continue;
            }
            if !x.body_ended && x.rate_at <= self.now && matches!(x.phase, Phase::Forwarding) {
                self.judge_rate(slot);
                continue;
            }
            if x.deadline > self.now {
                continue;
            }
            let key = x.down;
            match x.due {
                Due::Nothing => {}
                Due::Decision => self.refuse_or_cut(slot, Fault::Overloaded),
                Due::Body => self.refuse_for(slot, Fault::RequestTimeout),
                Due::Connection => self.fail(slot, FailReason::Busy),
                Due::Head => {
                    if x.request_ended || !self.client_is_slow(slot) {
                        self.h2_up_overdue(slot);
                        self.fail(slot, FailReason::Timeout);
                    } else {
                        self.refuse_for(slot, Fault::RequestTimeout);
                    }
                }
                Due::AnswerBody => self.held_broke(slot, FailReason::Timeout),
                Due::Answer => {
                    // A client that takes nothing has a deadline of its own: the upstream is not to blame.
                    if !x.outbox.is_empty() || self.downs.get(key).is_some_and(|down| down.io.pending() > 0) {
                        let x = &mut self.exchanges[slot as usize];
                        x.deadline = self.now + x.idle_ms.max(1_000);
                    } else {
                        // A client that has not said all that it asks may be what the upstream waits for.
                        let awaits = self.client_is_slow(slot);
                        let tunnel = self.exchanges[slot as usize].phase == Phase::Tunnel;
                        self.abort(slot, !tunnel && !awaits);
                        self.cut(slot);
                    }
                }
            }
        }
    }

    /// The deadline of all attempts together, or the client's own, has passed: before the answer it is refused, within it the stream is broken off.
    fn call_is_late(&mut self, slot: u32) {
        let now = self.now;
        let x = &mut self.exchanges[slot as usize];
        x.call_deadline = u64::MAX;
        // By what the client gave it, not by when it is looked at.
        let had_time =
            x.phase == Phase::Forwarding && x.deadline.saturating_sub(x.head_ms) + FAIR_MS <= x.client_deadline;
        match x.phase {
            Phase::Waiting | Phase::Forwarding | Phase::Judging if x.client_deadline <= now && !had_time => {
                self.refuse_for(slot, Fault::RequestTimeout);
            }
            Phase::Waiting | Phase::Forwarding => {
                // No other endpoint has time left for it.
                x.kept_all = false;
                self.hedge_is_off(slot);
                self.h2_up_overdue(slot);
                self.fail(slot, FailReason::Timeout);
            }
            Phase::Judging => self.held_broke(slot, FailReason::Timeout),
            Phase::Answering => {
                self.abort(slot, false);
                self.cut(slot);
            }
            Phase::Deciding => self.refuse_for(slot, Fault::RequestTimeout),
            Phase::Free | Phase::Tunnel | Phase::Over => {}
        }
    }

    /// Nobody decided in all that time: asked once more for a refusal, then cut.
    fn refuse_or_cut(&mut self, slot: u32, fault: Fault) {
        let x = &mut self.exchanges[slot as usize];
        if x.overdue {
            self.abort(slot, false);
            self.cut(slot);
            return;
        }
        x.overdue = true;
        self.refuse_for(slot, fault);
    }

    fn client_is_slow(&self, slot: u32) -> bool {
        // The upstream would take more, and there is none.
        !self.exchanges[slot as usize].body_ended && self.upstream_takes(slot)
    }

    fn judge_rate(&mut self, slot: u32) {
        let took = self.options.body_rate_ms;
        let least = self.options.body_rate_min * took / 1000;
        let slow = self.client_is_slow(slot);
        let x = &mut self.exchanges[slot as usize];
        let came = x.received - x.rate_bytes;
        x.rate_bytes = x.received;
        x.rate_at = self.now + took;
        if slow && came < least {
            self.refuse_for(slot, Fault::RequestTimeout);
        }
    }

    fn check_downs(&mut self) {
        for place in 0..self.downs.places() {
            let Some(key) = self.downs.key_at(place) else { continue };
            self.check_down(key);
        }
    }

    fn check_down(&mut self, key: Key) {
        let (now, write_ms) = (self.now, self.options.write_ms);
        let Some(down) = self.downs.get_mut(key) else { return };
        down.io.rest();
        if down.io.is_stalled() {
            if down.stalled_since == 0 {
                down.stalled_since = now;
            } else if now - down.stalled_since > write_ms {
                return self.client_left(key);
            }
        }
        let frames = match &mut down.proto {
            Proto::H2(h2) => {
                h2.server.rest();
                h2.server.dismiss(now)
            }
            _ => false,
        };
        let late = down.deadline <= now;
        if frames {
            self.touch(key);
        }
        if !late {
            return;
        }
        let Some(down) = self.downs.get_mut(key) else { return };
        match &down.proto {
            Proto::H1(h1) => match h1.stage {
                // A head that does not come to its end is answered; silence is not.
                Stage::Head if h1.within_head => self.head_is_late(key),
                Stage::Head => self.linger(key),
                Stage::Discard => self.linger(key),
                Stage::Linger => self.lingered(key),
                Stage::Exchange | Stage::Tunnel => {}
            },
            Proto::H2(h2) if !h2.streams.is_empty() => {}
            // Answers are on their way still. A client that takes nothing of them has a deadline of its own.
            Proto::H2(h2) if down.io.pending() > 0 || !h2.server.output().is_empty() => self.h2_idle(key),
            // With the notice goes a PING, which is answered when all that went before it has arrived: then the connection ends by itself.
            Proto::H2(h2) if !h2.leaving => self.h2_leave(key),
            Proto::H2(_) => self.h2_over(key),
            Proto::Opening { .. } => self.drop_down(key),
        }
    }

    /// A client of HTTP/2 speaks while it reads, and the system destroys what is on its way to a client that speaks after a close (RFC 9112 §9.6): it has time for as long as
    /// it goes on reading. So has every client of a lane that drains, for the system's own memory may go with the process.
    fn lingered(&mut self, key: Key) {
        let (now, write_ms, linger_ms) = (self.now, self.options.write_ms, self.options.linger_ms);
        let least = (self.options.body_rate_min * write_ms / 1_000).max(1) as usize;
        let draining = self.draining;
        let Some(down) = self.downs.get_mut(key) else { return };
        let Proto::H1(h1) = &mut down.proto else { return };
        let left = if h1.speaks || draining {
            down.io.unacknowledged()
        } else {
            0
        };
        if left.saturating_add(least) <= h1.unacknowledged {
            h1.unacknowledged = left;
            down.stalled_since = now;
        }
        if left == 0 || now - down.stalled_since > write_ms {
            self.drop_down(key);
        } else {
            down.deadline = now + linger_ms;
        }
    }

    fn head_is_late(&mut self, key: Key) {
        let head = std::mem::take(&mut self.request_head);
        self.head_arrived(
            key,
            &[],
            &crate::http1::RequestHead::default(),
            Some(Fault::RequestTimeout),
        );
        self.request_head = head;
    }

    fn check_ups(&mut self) {
        for place in 0..self.ups.places() {
            let Some(key) = self.ups.key_at(place) else { continue };
            let Some(up) = self.ups.get_mut(key) else { continue };
            if let Some(h2) = &mut up.h2 {
                h2.client.rest();
            }
            if up.deadline > self.now {
                continue;
            }
            match up.stage {
                UpStage::Connecting | UpStage::Handshake => self.give_up_connecting(key),
                UpStage::Idle => self.drop_up(key),
                UpStage::Shared => self.h2_up_leave(key),
                UpStage::Head | UpStage::Body | UpStage::Tunnel => {}
            }
        }
    }

    pub(super) fn look_at_clock(&mut self) {
        self.now = self.started.elapsed().as_millis() as u64 + 1;
        if self.now >= self.date_at {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.date = date_field(since.as_secs());
            self.date_at = self.now + 1_000 - u64::from(since.subsec_millis());
        }
    }
}

/// `date: …` in the form of RFC 9110 §5.6.7, with its line end.
fn date_field(seconds: u64) -> Vec<u8> {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let days = seconds / 86_400;
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    // Civil date from days, counted from 1 March of year 0 in eras of 400 years.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 {
        month_shifted + 3
    } else {
        month_shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let text = format!(
        "date: {}, {day:02} {} {year} {hour:02}:{minute:02}:{second:02} GMT\r\n",
        DAYS[(days % 7) as usize],
        MONTHS[month as usize - 1],
    );
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::date_field;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"),
            (784_111_777, "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
            (951_827_696, "date: Tue, 29 Feb 2000 12:34:56 GMT\r\n"),
            (1_735_689_599, "date: Tue, 31 Dec 2024 23:59:59 GMT\r\n"),
        ] {
            assert_eq!(date_field(seconds), text.as_bytes());
        }
    }
}
