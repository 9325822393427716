//! Programs as a whole: the tables of engine.md §3 and its appendix, and the law that the fast way and the naive way
//! give the same answers.

mod agreement;
mod compiling;
mod fixture;
mod operators;
