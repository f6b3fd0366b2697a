//! The Prometheus query language, in Prometheus 3's dialect: text to [`ast::Expr`], checked types, evaluation over a grid.
//!
//! ```text
//!   text --parser--> ast::Expr --engine (reads through model::Querier)--> QueryValue + annotations
//! ```
//!
//! - [`ast`]: what a query is. [`signature`]: what functions take and give; one row a function.
//! - `parser`: text to `ast`, with positions in every error; `printer`: `ast` to text (format_query).
//! - `engine`: every node is evaluated over a whole grid (start, end, step) into columns; an instant query is a grid of one.
//! - `script`: Prometheus' PromQL test scripts.

pub mod ast;
pub mod engine;
pub mod parser;
pub mod printer;
pub mod script;
pub mod signature;
