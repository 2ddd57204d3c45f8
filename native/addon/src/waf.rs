//! Binding of cnx-waf; filled by its crate.
