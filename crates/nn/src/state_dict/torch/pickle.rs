//! The part of Python's pickle language that weights are written in: protocol 2 (PEP 307), as
//! `torch.save` uses it.
//!
//! A pickle is a program for a machine with a stack. This machine has the instructions that state
//! dicts need, builds plain values, and calls nothing: a function that a file names is either on the
//! list of [`Global`] or an error. One pass, no recursion, memory in proportion to the file.

use std::collections::HashMap;

use ferrotape_backend::{Context, Error, Result};

use super::storage::Storage;
use super::value::{Global, Id, Value, Values, expected};
use super::view::View;

/// The longest pickle that is read, in bytes: weights are beside it, not in it.
const LONGEST: usize = 64 << 20;

/// The most containers that may be open at a time.
const DEEPEST: usize = 1000;

/// The most arguments that a call may have: those of a tensor.
const MOST_ARGUMENTS: usize = 7;

/// The most dimensions of a tensor in PyTorch.
const MOST_RANK: usize = 64;

/// A finished pickle: all values, the last of them, and where the bytes after it begin.
pub(super) struct Unpickled<'a> {
    pub(super) values: Values<'a>,
    pub(super) result: Id,
    pub(super) length: usize,
}

/// Reads the pickle at the front of the bytes.
///
/// # Errors
/// Cut short, an instruction, function or class that is not on the lists, a tensor that does not lie
/// in its storage.
pub(super) fn unpickle(bytes: &[u8]) -> Result<Unpickled<'_>> {
    let bytes = &bytes[..bytes.len().min(LONGEST)];
    let mut machine = Machine {
        bytes,
        at: 0,
        values: Values::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        copied: 0,
    };
    loop {
        let at = machine.at;
        let step = machine.step().at(|| format!("the pickle, byte {at}"))?;
        if let Some(result) = step {
            return Ok(Unpickled { values: machine.values, result, length: machine.at });
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Values<'a>,
    stack: Vec<Id>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
    /// How many entries were copied from one container to another: no more than the pickle is long.
    copied: usize,
}

impl<'a> Machine<'a> {
    /// One instruction; the result at the last.
    fn step(&mut self) -> Result<Option<Id>> {
        let instruction = self.take(1)?[0];
        match instruction {
            0x80 => self.protocol()?,
            b'(' => self.mark()?,
            b'.' => return self.pop().map(Some),
            b'0' => drop(self.pop()?),

            b'N' => self.stack.push(Values::NONE),
            0x88 => self.stack.push(Values::TRUE),
            0x89 => self.stack.push(Values::FALSE),
            b'J' => {
                let value = self.take(4)?;
                let value = i32::from_le_bytes([value[0], value[1], value[2], value[3]]);
                self.push(Value::Integer(value.into()))?;
            }
            b'K' => self.unsigned(1)?,
            b'M' => self.unsigned(2)?,
            0x8a => self.long()?,
            b'G' => {
                self.take(8)?;
                self.push(Value::Float)?;
            }
            b'X' => self.text(4)?,
            b'T' => self.text(4)?,
            b'U' => self.text(1)?,

            b')' => self.push(Value::Tuple(Vec::new()))?,
            b']' => self.push(Value::List(Vec::new()))?,
            b'}' => self.push(Value::Dict(Vec::new()))?,
            b't' => {
                let items = self.since_mark()?;
                self.push(Value::Tuple(items))?;
            }
            0x85..=0x87 => {
                let count = usize::from(instruction - 0x84);
                let items = self.last(count)?;
                self.push(Value::Tuple(items))?;
            }
            b'a' => {
                let item = self.last(1)?;
                self.append(item)?;
            }
            b'e' => {
                let items = self.since_mark()?;
                self.append(items)?;
            }
            b's' => {
                let entry = self.last(2)?;
                self.insert(&entry)?;
            }
            b'u' => {
                let entries = self.since_mark()?;
                self.insert(&entries)?;
            }

            b'q' => {
                let key = self.number(1)?;
                self.remember(key)?;
            }
            b'r' => {
                let key = self.number(4)?;
                self.remember(key)?;
            }
            b'h' => {
                let key = self.number(1)?;
                self.recall(key)?;
            }
            b'j' => {
                let key = self.number(4)?;
                self.recall(key)?;
            }

            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                let global = Global::named(module, name)?;
                self.push(Value::Global(global))?;
            }
            b'Q' => self.persistent()?,
            b'R' => self.reduce()?,
            b'b' => self.build()?,
            other => {
                return Err(Error::state(format!(
                    "its instruction {other:#04x} ({}) is none that state dicts are written with; \
                     write the file with torch.save(model.state_dict(), FILE) and pickle protocol 2",
                    char::from(other).escape_default()
                )));
            }
        }
        Ok(None)
    }

    fn protocol(&mut self) -> Result<()> {
        match self.take(1)?[0] {
            2 => Ok(()),
            other => Err(Error::state(format!(
                "it is of pickle protocol {other}; write the file with torch.save's own, 2"
            ))),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let taken = self.bytes[self.at..].get(..count);
        let taken = taken.ok_or_else(|| match self.bytes.len() {
            LONGEST => Error::state(format!("it has more than {LONGEST} bytes without weights")),
            _ => Error::state("it is cut short; fetch the file again"),
        })?;
        self.at += count;
        Ok(taken)
    }

    /// The bytes up to the end of the line.
    fn line(&mut self) -> Result<&'a str> {
        // A longer name is no name.
        const LONGEST_NAME: usize = 1000;
        let rest = &self.bytes[self.at..];
        let length = rest.iter().take(LONGEST_NAME).position(|&byte| byte == b'\n');
        let line = length.and_then(|length| std::str::from_utf8(&rest[..length]).ok());
        let line =
            line.ok_or_else(|| Error::state("the name of a function or class is damaged"))?;
        self.at += line.len() + 1;
        Ok(line)
    }

    fn number(&mut self, bytes: usize) -> Result<u64> {
        let field = self.take(bytes)?;
        Ok(field.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
    }

    fn push(&mut self, value: Value<'a>) -> Result<()> {
        let id = self.values.add(value)?;
        self.stack.push(id);
        Ok(())
    }

    fn unsigned(&mut self, bytes: usize) -> Result<()> {
        let value = self.number(bytes)?;
        self.push(Value::Integer(value.into()))
    }

    /// A signed integer of any length; of more than 16 bytes there is none in a state dict.
    fn long(&mut self) -> Result<()> {
        let length = usize::from(self.take(1)?[0]);
        let field = self.take(length)?;
        if length > 16 {
            return Err(Error::state(format!("an integer of {length} bytes is in no state dict")));
        }
        let sign = if field.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
        let mut value = [sign; 16];
        value[..length].copy_from_slice(field);
        self.push(Value::Integer(i128::from_le_bytes(value)))
    }

    fn text(&mut self, length_bytes: usize) -> Result<()> {
        let length = self.number(length_bytes)?;
        // A length beyond memory is beyond the file as well.
        let field = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        let text =
            std::str::from_utf8(field).map_err(|_| Error::state("a string in it is not UTF-8"))?;
        self.push(Value::Text(text))
    }

    fn pop(&mut self) -> Result<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let value = if self.stack.len() > floor { self.stack.pop() } else { None };
        value.ok_or_else(|| Error::state("it takes more from its stack than is there"))
    }

    /// The topmost values, the deepest first.
    fn last(&mut self, count: usize) -> Result<Vec<Id>> {
        let mut items = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
        items.reverse();
        Ok(items)
    }

    fn mark(&mut self) -> Result<()> {
        if self.marks.len() >= DEEPEST {
            return Err(Error::state("it is nested deeper than any state dict"));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn since_mark(&mut self) -> Result<Vec<Id>> {
        let mark =
            self.marks.pop().ok_or_else(|| Error::state("it closes what it never opened"))?;
        Ok(self.stack.split_off(mark))
    }

    fn top(&self) -> Result<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let top = self.stack[floor..].last().copied();
        top.ok_or_else(|| Error::state("it changes what is not on its stack"))
    }

    fn append(&mut self, items: Vec<Id>) -> Result<()> {
        let list = self.top()?;
        match self.values.get_mut(list) {
            Value::List(list) => list.extend(items),
            other => return Err(expected("a list", other)),
        }
        Ok(())
    }

    fn insert(&mut self, items: &[Id]) -> Result<()> {
        if !items.len().is_multiple_of(2) {
            return Err(Error::state("a key of a dict in it has no value"));
        }
        let dict = self.top()?;
        match self.values.get_mut(dict) {
            Value::Dict(entries) => entries.extend(items.chunks_exact(2).map(|e| (e[0], e[1]))),
            other => return Err(expected("a dict", other)),
        }
        Ok(())
    }

    fn remember(&mut self, key: u64) -> Result<()> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Result<()> {
        let known = self.memo.get(&key).copied();
        self.stack.push(known.ok_or_else(|| Error::state("it recalls what it never remembered"))?);
        Ok(())
    }

    /// `("storage", class, key, device, number of elements)`; the older format adds a view.
    fn persistent(&mut self) -> Result<()> {
        let id = self.pop()?;
        let (class, key, elements) = match *self.values.items(id)? {
            [tag, class, key, _, elements] if self.values.text(tag)? == "storage" => {
                (class, key, elements)
            }
            [tag, class, key, _, elements, part] if self.values.text(tag)? == "storage" => {
                if !matches!(self.values.get(part), Value::None) {
                    return Err(Error::state(
                        "a storage in it is a part of another, as only very old versions of \
                         PyTorch wrote; load the file in PyTorch and write it with torch.save",
                    ));
                }
                (class, key, elements)
            }
            _ => return Err(Error::state("it names something outside that is no storage")),
        };
        let Value::Global(Global::Storage(kind)) = *self.values.get(class) else {
            return Err(expected("the type of a storage", self.values.get(class)));
        };
        let (key, elements) = (self.values.text(key)?, self.values.size(elements)?);
        self.push(Value::Storage(Storage { kind, key, elements }))
    }

    /// What a call of the function under the arguments on top would give.
    fn reduce(&mut self) -> Result<()> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Global(global) = *self.values.get(function) else {
            return Err(expected("a function", self.values.get(function)));
        };
        // A few bytes recall a long tuple again and again: what is copied here has to be short.
        let arguments = self.short(arguments, MOST_ARGUMENTS)?;
        match (global, arguments.as_slice()) {
            (Global::OrderedDict, []) => self.push(Value::Dict(Vec::new())),
            // Python 2 gave the entries as a list of pairs.
            (Global::OrderedDict, &[pairs]) => {
                let pair = |&id: &Id| match *self.values.items(id)? {
                    [key, value] => Ok((key, value)),
                    _ => Err(Error::state("an entry of an OrderedDict in it is no pair")),
                };
                self.copied += self.values.items(pairs)?.len();
                if self.copied > self.bytes.len() {
                    return Err(Error::state("it makes one list into many dicts"));
                }
                let entries = self.values.items(pairs)?.iter().map(pair).collect::<Result<_>>()?;
                self.push(Value::Dict(entries))
            }
            (Global::Size, &[sizes]) => {
                let sizes = self.short(sizes, MOST_RANK)?;
                self.push(Value::Tuple(sizes))
            }
            (Global::RebuildTensor, [storage, offset, sizes, strides, rest @ ..])
                if rest.len() <= 3 =>
            {
                // After gradient tracking and hooks come marks of conjugate and negated views.
                if let Some(&marks) = rest.get(2)
                    && !matches!(self.values.get(marks), Value::None)
                    && !self.values.entries(marks)?.is_empty()
                {
                    return Err(Error::state(
                        "a tensor in it is a conjugate or negated view; store a copy of it (clone())",
                    ));
                }
                let view = self.view([*storage, *offset, *sizes, *strides])?;
                self.push(Value::Tensor(Box::new(view)))
            }
            (Global::RebuildParameter, &[data, _, _]) => match self.values.get(data) {
                Value::Tensor(_) => {
                    self.stack.push(data);
                    Ok(())
                }
                other => Err(expected("a tensor", other)),
            },
            (global, arguments) => Err(Error::state(format!(
                "it calls {global:?} with {} arguments, which is not how state dicts are written",
                arguments.len()
            ))),
        }
    }

    /// A copy of the items of a tuple or list, if they are few.
    fn short(&self, id: Id, most: usize) -> Result<Vec<Id>> {
        match self.values.items(id)? {
            items if items.len() <= most => Ok(items.to_vec()),
            items => Err(Error::state(format!(
                "it has a tuple of {} items where at most {most} can be",
                items.len()
            ))),
        }
    }

    fn view(&self, [storage, offset, sizes, strides]: [Id; 4]) -> Result<View<'a>> {
        let Value::Storage(storage) = *self.values.get(storage) else {
            return Err(expected("a storage", self.values.get(storage)));
        };
        let sizes_of = |id| -> Result<Vec<usize>> {
            self.short(id, MOST_RANK)?.into_iter().map(|id| self.values.size(id)).collect()
        };
        View::new(storage, self.values.size(offset)?, &sizes_of(sizes)?, sizes_of(strides)?)
    }

    /// Attributes of the value below: an `OrderedDict` of `state_dict()` has `_metadata`, the
    /// versions of its layers, which change nothing here.
    fn build(&mut self) -> Result<()> {
        let attributes = self.pop()?;
        self.values.entries(attributes)?;
        let owner = self.top()?;
        self.values.entries(owner).map(|_| ())
    }
}
