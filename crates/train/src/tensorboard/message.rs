//! The wire format of protocol buffers, as far as event files need it.

/// A message that is being written, field by field.
#[derive(Debug, Clone, Default)]
pub(super) struct Message(Vec<u8>);

const VARINT: u32 = 0;
const FIXED_64: u32 = 1;
const BYTES: u32 = 2;
const FIXED_32: u32 = 5;

impl Message {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u32, kind: u32) {
        self.varint(u64::from(field << 3 | kind));
    }

    pub(super) fn integer(&mut self, field: u32, value: u64) -> &mut Self {
        self.key(field, VARINT);
        self.varint(value);
        self
    }

    pub(super) fn double(&mut self, field: u32, value: f64) -> &mut Self {
        self.key(field, FIXED_64);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn float(&mut self, field: u32, value: f32) -> &mut Self {
        self.key(field, FIXED_32);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn bytes(&mut self, field: u32, bytes: &[u8]) -> &mut Self {
        self.key(field, BYTES);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    pub(super) fn message(&mut self, field: u32, message: &Message) -> &mut Self {
        self.bytes(field, &message.0)
    }

    /// Numbers one after the other, without a key each.
    pub(super) fn doubles(&mut self, field: u32, values: &[f64]) -> &mut Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.bytes(field, &bytes)
    }

    /// The numbers of a field that [`Message::doubles`] wrote.
    #[cfg(test)]
    pub(super) fn clone_doubles(&self, field: u32) -> Vec<f64> {
        let mut rest = &self.0[..];
        while let [key, tail @ ..] = rest {
            let (number, kind) = (u32::from(key >> 3), u32::from(key & 7));
            if kind == FIXED_64 {
                rest = &tail[8..];
                continue;
            }
            let (mut length, mut shift, mut at) = (0usize, 0, 0);
            loop {
                length |= usize::from(tail[at] & 0x7f) << shift;
                shift += 7;
                at += 1;
                if tail[at - 1] < 0x80 {
                    break;
                }
            }
            let content = &tail[at..at + length];
            if number == field {
                let number = |bytes: &[u8]| f64::from_le_bytes(bytes.try_into().unwrap());
                return content.chunks(8).map(number).collect();
            }
            rest = &tail[at + length..];
        }
        Vec::new()
    }
}
