//! Values: no panic, bounded growth, identity without trigger bytes.
#![no_main]

use cnx_waf::bytes::ByteSet;
use cnx_waf::transform::{GROWTH_ADD, TRANSFORMS, Trigger};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for d in TRANSFORMS {
        let mut out = Vec::new();
        (d.apply)(bytes, &mut out);
        assert!(out.len() <= bytes.len() * d.growth + GROWTH_ADD, "{}", d.name);
        if let Trigger::Bytes(set) = d.trigger
            && !set.meets(&ByteSet::present_in(bytes))
        {
            assert_eq!(out, bytes, "{}", d.name);
        }
    }
});
