//! Rule files: no panic, and every error names a mend.
#![no_main]

use cnx_waf::program::compile::{CompileOptions, SourceFile, compile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let files = [
        SourceFile {
            name: "f.conf",
            content: bytes,
        },
        SourceFile {
            name: "f.data",
            content: b"a\nb\n",
        },
    ];
    if let Err(list) = compile(&files, CompileOptions::default()) {
        assert!(!list.is_empty());
        assert!(list.iter().all(|d| !d.message.is_empty() && !d.mend.is_empty()));
    }
});
