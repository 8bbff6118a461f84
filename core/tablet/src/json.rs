//! JSON columns: VelocyPack values, their text as StarRocks prints it, and rows rebuilt from flattened columns.

pub(crate) mod flat;
pub mod number;
pub mod text;
pub(crate) mod vpack;
