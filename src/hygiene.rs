pub(crate) fn shed_inheritance() {}
pub(crate) fn raise_descriptor_limit(_needed: u64) -> std::io::Result<u64> {
    Ok(0)
}
