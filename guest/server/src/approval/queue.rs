//! placeholder
/// x
pub struct ApprovalQueue;
impl ApprovalQueue {
    /// x
    pub fn wake(&self) {}
}
