//! What is counted.

/// One hot path. `prepare` sets everything up and returns the path itself; what `prepare` costs cancels out in the difference of two
/// counts.
pub(crate) struct HotPath {
    pub(crate) name: &'static str,
    pub(crate) prepare: fn() -> Box<dyn FnMut()>,
}
