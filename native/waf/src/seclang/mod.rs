//! SecLang: from the bytes of rule files to a checked draft of a rule set.
//!
//! [`source`] joins physical lines into logical ones, [`words`] splits a logical line into arguments,
//! [`directive`] is the table of directives with which [`parser`] goes through a file, [`variable`], [`action`] and [`macros`] parse the parts of a rule.
//! Whatever is wrong becomes a [`diagnostic::Diagnostic`]; parsing goes on so that one run reports everything.

pub mod action;
pub mod action_arguments;
pub mod action_list;
pub mod ctl;
pub mod diagnostic;
pub mod directive;
mod directive_arguments;
pub(crate) mod directive_refused;
pub mod draft;
pub mod include;
pub mod macros;
pub mod parser;
pub mod setting;
pub mod source;
pub mod variable;
mod variable_table;
pub mod words;
