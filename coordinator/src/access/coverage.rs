// No crate and no module is named here: a test compiles this file by itself, to show that a build fails.

/// Panics, while the program is compiled, unless exactly one of `listed` names each method of each service in an encoded
/// `FileDescriptorSet`, as `package.Service/Method`: it says the method's name. Gives how many methods there are.
///
/// Of protobuf it knows what it needs: messages are fields behind keys, and those of no interest are stepped over.
pub const fn every_method_is_listed(set: &[u8], listed: &[&str]) -> usize {
    let (mut at, mut methods) = (0, 0);
    while at < set.len() {
        let file = field(set, at);
        if file.number == FILE {
            methods += methods_of_file(set, file, listed);
        }
        at = file.end;
    }
    methods
}

const FILE: usize = 1;
const FILE_PACKAGE: usize = 2;
const FILE_SERVICE: usize = 6;
const SERVICE_METHOD: usize = 2;
/// The name of a service, and of a method.
const NAME: usize = 1;

/// A field: what it holds is from `start` to `end`.
#[derive(Clone, Copy)]
struct Field {
    number: usize,
    start: usize,
    end: usize,
}

const fn methods_of_file(set: &[u8], file: Field, listed: &[&str]) -> usize {
    let package = only(set, file, FILE_PACKAGE);
    let (mut at, mut methods) = (file.start, 0);
    while at < file.end {
        let service = field(set, at);
        if service.number == FILE_SERVICE {
            methods += methods_of_service(set, package, service, listed);
        }
        at = service.end;
    }
    methods
}

const fn methods_of_service(set: &[u8], package: Field, service: Field, listed: &[&str]) -> usize {
    let name = only(set, service, NAME);
    let (mut at, mut methods) = (service.start, 0);
    while at < service.end {
        let method = field(set, at);
        if method.number == SERVICE_METHOD {
            let path = [package, name, only(set, method, NAME)];
            if times_listed(set, path, listed) != 1 {
                panic!("{}", text(set, path[2]));
            }
            methods += 1;
        }
        at = method.end;
    }
    methods
}

const fn times_listed(set: &[u8], path: [Field; 3], listed: &[&str]) -> usize {
    let (mut at, mut times) = (0, 0);
    while at < listed.len() {
        if is_path(listed[at].as_bytes(), set, path) {
            times += 1;
        }
        at += 1;
    }
    times
}

/// Is it `package.Service/Method`?
const fn is_path(text: &[u8], set: &[u8], [package, service, method]: [Field; 3]) -> bool {
    let dot = package.end - package.start;
    let slash = dot + 1 + service.end - service.start;
    let length = slash + 1 + method.end - method.start;
    text.len() == length
        && text[dot] == b'.'
        && text[slash] == b'/'
        && is_at(text, 0, set, package)
        && is_at(text, dot + 1, set, service)
        && is_at(text, slash + 1, set, method)
}

const fn is_at(text: &[u8], from: usize, set: &[u8], part: Field) -> bool {
    let mut at = part.start;
    while at < part.end {
        if text[from + at - part.start] != set[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// The field of this number in a message; an empty one when it is not there.
const fn only(set: &[u8], message: Field, number: usize) -> Field {
    let mut at = message.start;
    while at < message.end {
        let found = field(set, at);
        if found.number == number {
            return found;
        }
        at = found.end;
    }
    Field { number, start: message.start, end: message.start }
}

/// The field whose key is at `at`.
const fn field(set: &[u8], at: usize) -> Field {
    let (key, start) = varint(set, at);
    let (start, end) = match key & 7 {
        0 => (start, varint(set, start).1),
        1 => (start, start + 8),
        2 => {
            let (length, start) = varint(set, start);
            (start, start + length)
        }
        5 => (start, start + 4),
        _ => panic!("no set of descriptors"),
    };
    Field { number: key >> 3, start, end }
}

/// A number and where it ends.
const fn varint(set: &[u8], mut at: usize) -> (usize, usize) {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = set[at];
        value |= ((byte & 0x7f) as usize) << shift;
        at += 1;
        shift += 7;
        if byte & 0x80 == 0 {
            return (value, at);
        }
    }
}

const fn text(set: &[u8], part: Field) -> &str {
    match std::str::from_utf8(set.split_at(part.end).0.split_at(part.start).1) {
        Ok(text) => text,
        Err(_) => panic!("no set of descriptors"),
    }
}
