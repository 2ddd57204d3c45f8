//! Persistent collections and the clock as a transaction sees them.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::transaction::{Entry, SlotValue, Transaction};
use crate::bytes::to_int;
use crate::collections::{COLLECTIONS, Place, Stored};
use crate::program::{Persist, Program};
use crate::seclang::variable::Var;

/// The clock, read once for each transaction whose rules ask for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// Seconds since 1970, UTC.
    pub now_s: u64,
    /// When the transaction began.
    pub began: Instant,
}

impl Clock {
    pub fn read() -> Self {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        Self {
            now_s,
            began: Instant::now(),
        }
    }
}

impl Transaction {
    /// `initcol` and its like, `expirevar`, `deprecatevar`.
    pub(super) fn persist(&mut self, program: &Program, action: &Persist) {
        let mut text = Vec::new();
        match action {
            Persist::Open(store, key, named) => {
                self.expand(program, key, &mut text);
                if let Some(var) = named {
                    self.put(*var, &text);
                }
                self.open_collection(program, *store, text);
            }
            Persist::Expire(store, name, seconds) => {
                self.expand(program, seconds, &mut text);
                let seconds = u64::try_from(to_int(&text)).unwrap_or(0);
                text.clear();
                self.expand(program, name, &mut text);
                text.make_ascii_lowercase();
                let now_s = self.now_s();
                self.at(program, *store, &text, |place| {
                    COLLECTIONS.expire(place, seconds, now_s)
                });
            }
            Persist::Deprecate(store, name, amount, period_s) => {
                self.expand(program, name, &mut text);
                text.make_ascii_lowercase();
                let now_s = self.now_s();
                let left = self.at(program, *store, &text, |place| {
                    COLLECTIONS.deprecate(place, *amount, *period_s, now_s)
                });
                if let Some(n) = left.flatten() {
                    self.hold(program, *store, &text, SlotValue::Int(n));
                }
            }
        }
    }

    /// Opens a collection and takes its values over. The first key of a store stays.
    pub(super) fn open_collection(&mut self, program: &Program, store: Var, key: Vec<u8>) {
        if self.opened.iter().any(|(s, _)| *s == store) {
            return;
        }
        let mut found = Vec::new();
        let place = Place {
            store,
            application: program.settings.web_app_id.as_bytes(),
            key: &key,
            name: b"",
        };
        COLLECTIONS.load(&place, self.now_s(), |name, value| {
            found.push((name.to_vec(), value.clone()))
        });
        self.opened.push((store, key));
        for (name, value) in found {
            let value = match value {
                Stored::Int(n) => SlotValue::Int(n),
                Stored::Text(text) => SlotValue::Value(self.values.intern(&text)),
            };
            self.hold(program, store, &name, value);
        }
    }

    /// Writes a value of an open collection for all transactions; what it is then.
    pub(super) fn share(
        &mut self,
        program: &Program,
        store: Var,
        name: &[u8],
        change: (SlotValue, SlotValue),
        adds: bool,
    ) -> SlotValue {
        let (old, new) = change;
        let (now_s, timeout_s) = (self.now_s(), program.settings.collection_timeout_s);
        let number = |v: SlotValue| match v {
            SlotValue::Unset => 0,
            SlotValue::Int(n) => n,
            SlotValue::Value(id) => to_int(self.values.get(id)),
        };
        let text = match new {
            SlotValue::Value(id) => self.values.get(id).into(),
            _ => Box::default(),
        };
        let more = number(new).saturating_sub(number(old));
        let sum = self.at(program, store, name, |place| match new {
            SlotValue::Unset => {
                COLLECTIONS.remove(place, now_s);
                None
            }
            _ if adds => Some(COLLECTIONS.add(place, more, now_s, timeout_s)),
            SlotValue::Int(n) => {
                COLLECTIONS.set(place, Stored::Int(n), now_s, timeout_s);
                None
            }
            SlotValue::Value(_) => {
                COLLECTIONS.set(place, Stored::Text(text), now_s, timeout_s);
                None
            }
        });
        sum.flatten().map_or(new, SlotValue::Int)
    }

    fn at<R>(&self, program: &Program, store: Var, name: &[u8], act: impl FnOnce(&Place<'_>) -> R) -> Option<R> {
        let (_, key) = self.opened.iter().find(|(s, _)| *s == store)?;
        Some(act(&Place {
            store,
            application: program.settings.web_app_id.as_bytes(),
            key,
            name,
        }))
    }

    /// Gives a variable of a store its value in this transaction.
    fn hold(&mut self, program: &Program, store: Var, name: &[u8], value: SlotValue) {
        match program.slots.find(store, name) {
            Some(slot) => self.slots[slot as usize] = value,
            None => {
                let key = self.values.intern(name);
                self.put_named(store, key, value);
            }
        }
    }

    fn now_s(&self) -> u64 {
        self.clock.map_or(0, |c| c.now_s)
    }

    /// TIME and its like, in UTC, and DURATION.
    pub(super) fn clock_entry(&mut self, var: Var) -> Option<Entry> {
        let clock = self.clock?;
        let (day, second) = (clock.now_s / 86_400, clock.now_s % 86_400);
        let (year, month, day_of_month) = civil(day);
        let number = match var {
            Var::Time => {
                let text = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
                let value = self.values.intern(text.as_bytes());
                return Some(Entry { key: 0, value });
            }
            Var::TimeEpoch => clock.now_s,
            Var::TimeHour => second / 3600,
            Var::TimeMin => second / 60 % 60,
            Var::TimeSec => second % 60,
            Var::TimeDay => day_of_month,
            // From 0, as C counts.
            Var::TimeMon => month - 1,
            Var::TimeYear => year,
            // 1970 began on a Thursday; Sunday is 0.
            Var::TimeWday => (day + 4) % 7,
            Var::Duration => u64::try_from(clock.began.elapsed().as_micros()).unwrap_or(u64::MAX),
            _ => return None,
        };
        let value = self.values.intern_int(i64::try_from(number).unwrap_or(i64::MAX));
        Some(Entry { key: 0, value })
    }
}

/// Year, month and day of a day since 1970 (the proleptic Gregorian calendar, from years that begin in March).
fn civil(day: u64) -> (u64, u64, u64) {
    let z = day + 719_468;
    let era = z / 146_097;
    let of_era = z % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::civil;

    #[test]
    fn days_have_their_dates() {
        for (day, date) in [
            (0, (1970, 1, 1)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (19_782, (2024, 2, 29)),
            (20_778, (2026, 11, 21)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(civil(day), date, "{day}");
        }
    }
}
