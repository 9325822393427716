//! Provisional.
use crate::call::Call;
use crate::diagnostics::Findings;
use crate::documents::ruleset::SandboxRule;
use crate::inquiry::Link;
/// p
#[derive(Debug)] pub struct Context { pub cwd: String, pub home: Option<String> }
#[derive(Debug, Default)] pub struct Links;
impl Links { pub fn insert(&mut self, _: String, _: Link) {} }
#[derive(Debug)] pub struct Sandbox;
impl Sandbox { pub fn compile(_: &SandboxRule, _: &Context, _: &mut Findings) -> Self { Self } pub fn bind(&mut self, _: &Links) -> Vec<String> { vec![] } pub fn judge(&self, _: &Touched<'_>, _: &Links) -> Verdict { Verdict::Inside } }
pub enum Verdict { Inside, Outside(()), Error(String) }
#[derive(Debug)] pub struct Touched<'c>(std::marker::PhantomData<&'c ()>);
impl<'c> Touched<'c> { pub fn of<'s>(_: &Call<'c>, _: &Context, _: impl Iterator<Item=&'s Sandbox>) -> Self { Self(std::marker::PhantomData) } pub fn unresolved(&self, _: &Links) -> Vec<String> { vec![] } }
