#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| background_command_mcp::fuzzing::cursor(data));
