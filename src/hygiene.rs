pub(crate) fn shed_inheritance() {}
pub(crate) fn raise_descriptor_limit(_needed: u64) -> std::io::Result<u64> {
    Ok(0)
}

pub(crate) fn ignore_requests_to_end() {}
