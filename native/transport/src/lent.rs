//! Bodies that another thread reads where they lie. The engine that collected one lends it and gets a number; who is told the number finds the bytes by it, of any thread,
//! until the exchange lets go of them. Nothing is copied, and nobody has to give anything back: the last one who holds the bytes frees them, and with them the number.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

/// Most bodies lent at once, by all engines of the process.
pub const LENT_MAX: usize = 65_536;
/// Their bytes together.
pub const LENT_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// What is lent now.
#[derive(Default)]
struct Lending {
    /// The last number that was given; none is given twice.
    last: u64,
    /// Only who collected a body, and who reads it, keeps it alive.
    bodies: HashMap<u64, Weak<Lent>>,
    bytes: usize,
}

static LENDING: LazyLock<Mutex<Lending>> = LazyLock::new(Mutex::default);

fn lending() -> MutexGuard<'static, Lending> {
    LENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A body that was lent. It does not change any more.
#[derive(Debug)]
pub struct Lent {
    bytes: Vec<u8>,
    number: u64,
    /// What it counts among all that are lent.
    counted: usize,
}

impl Deref for Lent {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut lending = lending();
        lending.bodies.remove(&self.number);
        lending.bytes -= self.counted;
    }
}

/// The body that was lent under a number; None: its exchange is over.
#[must_use]
pub fn find(number: u64) -> Option<Arc<Lent>> {
    lending().bodies.get(&number).and_then(Weak::upgrade)
}

/// Bodies that are lent now, and their bytes.
#[must_use]
pub fn count() -> (usize, usize) {
    let lending = lending();
    (lending.bodies.len(), lending.bytes)
}

/// Collected bytes of a body, to be read as a slice. They may be lent; what comes afterwards is added to a copy, and who was told the number still sees what was lent.
#[derive(Debug, Default)]
pub struct Body {
    /// Unless empty: all of it, whatever was lent.
    own: Vec<u8>,
    lent: Option<Arc<Lent>>,
}

impl Body {
    /// Adds bytes.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        if let (true, false, Some(lent)) = (self.own.is_empty(), bytes.is_empty(), &self.lent) {
            self.own.reserve(lent.len() + bytes.len());
            self.own.extend_from_slice(lent);
        }
        self.own.extend_from_slice(bytes);
    }

    /// Number by which other threads find what is here now, until `clear` or the end of this value. None: there is nothing to lend, or too much is lent.
    pub fn lend(&mut self) -> Option<u64> {
        if self.own.is_empty() {
            return self.lent.as_ref().map(|lent| lent.number);
        }
        let counted = self.own.capacity();
        let mut lending = lending();
        if lending.bodies.len() >= LENT_MAX || counted > LENT_BYTES_MAX.saturating_sub(lending.bytes) {
            return None;
        }
        lending.last += 1;
        let number = lending.last;
        let lent = Arc::new(Lent {
            bytes: std::mem::take(&mut self.own),
            number,
            counted,
        });
        lending.bodies.insert(number, Arc::downgrade(&lent));
        lending.bytes += counted;
        drop(lending);
        // An earlier one is dropped here, when the lock is free again.
        self.lent = Some(lent);
        Some(number)
    }

    /// Lets go of it all. Memory that nobody else reads is kept for what comes.
    pub fn clear(&mut self) {
        self.own.clear();
        if let Some(mut lent) = self.lent.take().and_then(Arc::into_inner)
            && self.own.capacity() == 0
        {
            self.own = std::mem::take(&mut lent.bytes);
            self.own.clear();
        }
    }

    /// Bytes of memory that it holds for itself.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.own.capacity()
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.lent {
            Some(lent) if self.own.is_empty() => lent,
            _ => &self.own,
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(own: Vec<u8>) -> Self {
        Self { own, lent: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &[u8]) -> Body {
        Body::from(text.to_vec())
    }

    #[test]
    fn what_is_lent_is_found_where_it_lies() {
        let mut body = body(b"a=b");
        let at = body.as_ptr();
        let number = body.lend().unwrap();
        assert_eq!(body.lend(), Some(number));
        assert_eq!(&*body, b"a=b");
        let found = std::thread::spawn(move || find(number).map(|lent| (lent.as_ptr() as usize, lent.to_vec())));
        assert_eq!(found.join().unwrap(), Some((at as usize, b"a=b".to_vec())));
    }

    #[test]
    fn nothing_is_found_once_its_owner_is_gone_and_readers_keep_what_they_read() {
        let mut one = body(b"one");
        let number = one.lend().unwrap();
        let reader = find(number).unwrap();
        drop(one);
        assert_eq!(&**reader, b"one");
        drop(reader);
        assert!(find(number).is_none());
        let mut two = body(b"two");
        let number = two.lend().unwrap();
        two.clear();
        assert!(find(number).is_none());
        assert!(two.is_empty());
        assert!(two.capacity() > 0, "memory that nobody else reads is used again");
    }

    #[test]
    fn what_comes_later_is_not_seen_by_those_who_were_lent_the_begin() {
        let mut body = body(b"begin");
        let number = body.lend().unwrap();
        body.extend_from_slice(b"");
        assert_eq!(find(number).as_deref().map(|lent| &**lent), Some(&b"begin"[..]));
        body.extend_from_slice(b" and end");
        assert_eq!(&*body, b"begin and end");
        assert_eq!(find(number).as_deref().map(|lent| &**lent), Some(&b"begin"[..]));
        let later = body.lend().unwrap();
        assert_ne!(later, number);
        assert!(find(number).is_none());
        assert_eq!(find(later).as_deref().map(|lent| &**lent), Some(&b"begin and end"[..]));
    }

    #[test]
    fn nothing_can_be_lent_of_nothing() {
        assert_eq!(Body::default().lend(), None);
    }

    /// Bodies as a model: whatever is done to them in whatever order, they hold what was added, and what was lent is found exactly as long as it should be.
    mod model {
        use super::*;
        use proptest::prelude::*;

        #[derive(Clone, Debug)]
        enum Step {
            Add(Vec<u8>),
            Lend,
            Read,
            Forget,
            Clear,
            Take,
        }

        fn step() -> impl Strategy<Value = Step> {
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..32).prop_map(Step::Add),
                Just(Step::Lend),
                Just(Step::Read),
                Just(Step::Forget),
                Just(Step::Clear),
                Just(Step::Take),
            ]
        }

        /// What its owner let go of is found no more, but by those who read it already.
        fn gone(lent: &mut Option<(u64, Vec<u8>)>, readers: &[(Arc<Lent>, Vec<u8>)]) -> Result<(), TestCaseError> {
            if let Some((number, _)) = lent.take() {
                let read = readers.iter().any(|(reader, _)| reader.number == number);
                prop_assert_eq!(find(number).is_some(), read);
            }
            Ok(())
        }

        proptest! {
            #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 8 } else { 512 }))]
            #[test]
            fn bodies_hold_what_was_added(steps in prop::collection::vec(step(), 0..48)) {
                let mut body = Body::default();
                let mut model: Vec<u8> = Vec::new();
                let mut lent: Option<(u64, Vec<u8>)> = None;
                let mut readers: Vec<(Arc<Lent>, Vec<u8>)> = Vec::new();
                for step in steps {
                    match step {
                        Step::Add(bytes) => { body.extend_from_slice(&bytes); model.extend_from_slice(&bytes); }
                        Step::Lend => {
                            let number = body.lend();
                            prop_assert_eq!(number.is_some(), !model.is_empty());
                            lent = number.map(|number| (number, model.clone()));
                        }
                        Step::Read => if let Some((number, bytes)) = &lent {
                            readers.push((find(*number).unwrap(), bytes.clone()));
                        },
                        Step::Forget => { readers.pop(); }
                        Step::Clear => { body.clear(); model.clear(); gone(&mut lent, &readers)?; }
                        Step::Take => { body = Body::from(std::mem::take(&mut body).to_vec()); gone(&mut lent, &readers)?; }
                    }
                    prop_assert_eq!(&*body, &*model);
                    for (reader, bytes) in &readers { prop_assert_eq!(&***reader, &**bytes); }
                }
            }
        }
    }
}
