//! The encoding of serde enums as events: the variant is the name, its content is the data.
//!
//! Takes one pass over the value. The variant is known before its content, so the name's line is written first, and the content
//! follows as JSON in the same buffer.

use std::{cell::RefCell, io};

use bytes::Bytes;
use serde_core::ser::{self, Error as _, Impossible, Serialize, Serializer};
use serde_json::Error;

use super::{
    buffer,
    encode::{self, Head},
    field::EventName,
    json::JsonError,
};

/// Encodes an event without its id.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, JsonError> {
    let output = Output(RefCell::new(buffer::take()));
    let mut json = serde_json::Serializer::new(&output);
    value.serialize(Variant { output: &output, json: &mut json }).map_err(JsonError::new)?;
    let buffer = output.0.into_inner();
    let start = encode::head_len(&buffer);
    Ok(encode::close_json(buffer, start))
}

/// The buffer of an event: the name is written to it directly, the content through serde_json.
struct Output(RefCell<Vec<u8>>);

impl Output {
    /// Writes the name's line and the beginning of the data's.
    fn put_name(&self, variant: &str) -> Result<(), Error> {
        let name = EventName::try_from(variant).map_err(Error::custom)?;
        encode::begin_data(Head { name: Some(&name), ..Head::default() }, &mut self.0.borrow_mut());
        Ok(())
    }
}

impl io::Write for &Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Json<'a> = serde_json::Serializer<&'a Output>;
type JsonTuple<'s, 'a> = <&'s mut Json<'a> as Serializer>::SerializeTuple;
type JsonStruct<'s, 'a> = <&'s mut Json<'a> as Serializer>::SerializeStruct;

/// The serializer of an enum value, tagged externally or adjacently.
struct Variant<'s, 'a> {
    output: &'a Output,
    json: &'s mut Json<'a>,
}

/// The serializer of an adjacently tagged value's tag.
struct Tag<'a>(&'a Output);

/// Implements the methods of a [`Serializer`] that refuses everything but variants.
macro_rules! refuse {
    () => {
        refuse! {
            serialize_bool: bool,
            serialize_i8: i8,
            serialize_i16: i16,
            serialize_i32: i32,
            serialize_i64: i64,
            serialize_u8: u8,
            serialize_u16: u16,
            serialize_u32: u32,
            serialize_u64: u64,
            serialize_f32: f32,
            serialize_f64: f64,
            serialize_char: char,
            serialize_str: &str,
            serialize_bytes: &[u8],
        }
    };
    ($($method:ident: $kind:ty,)*) => {
        $(fn $method(self, _: $kind) -> Result<Self::Ok, Error> {
            Err(not_a_variant())
        })*

        fn serialize_none(self) -> Result<Self::Ok, Error> {
            Err(not_a_variant())
        }

        fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Self::Ok, Error> {
            value.serialize(self)
        }

        fn serialize_unit(self) -> Result<Self::Ok, Error> {
            Err(not_a_variant())
        }

        fn serialize_unit_struct(self, _: &'static str) -> Result<Self::Ok, Error> {
            Err(not_a_variant())
        }

        fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<Self::Ok, Error> {
            value.serialize(self)
        }

        fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Error> {
            Err(not_a_variant())
        }

        fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Error> {
            Err(not_a_variant())
        }

        fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Error> {
            Err(not_a_variant())
        }

        fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Error> {
            Err(not_a_variant())
        }
    };
}

impl<'s, 'a> Serializer for Variant<'s, 'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Impossible<(), Error>;
    type SerializeTuple = Impossible<(), Error>;
    type SerializeTupleStruct = Impossible<(), Error>;
    type SerializeTupleVariant = Tuple<'s, 'a>;
    type SerializeMap = Impossible<(), Error>;
    type SerializeStruct = Adjacent<'s, 'a>;
    type SerializeStructVariant = Fields<'s, 'a>;

    refuse!();

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.output.put_name(variant)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.output.put_name(variant)?;
        value.serialize(self.json)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        self.output.put_name(variant)?;
        Ok(Tuple(self.json.serialize_tuple(len)?))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, Error> {
        Ok(Adjacent { output: self.output, json: self.json, next: Part::Tag })
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        self.output.put_name(variant)?;
        Ok(Fields(self.json.serialize_struct(name, len)?))
    }
}

impl Serializer for Tag<'_> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Impossible<(), Error>;
    type SerializeTuple = Impossible<(), Error>;
    type SerializeTupleStruct = Impossible<(), Error>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Impossible<(), Error>;
    type SerializeStruct = Impossible<(), Error>;
    type SerializeStructVariant = Impossible<(), Error>;

    refuse!();

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.0.put_name(variant)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Error> {
        Err(not_a_variant())
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        Err(not_a_variant())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, Error> {
        Err(not_a_variant())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        Err(not_a_variant())
    }
}

/// The content of a tuple variant: a JSON array.
struct Tuple<'s, 'a>(JsonTuple<'s, 'a>);

impl ser::SerializeTupleVariant for Tuple<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        ser::SerializeTuple::serialize_element(&mut self.0, value)
    }

    fn end(self) -> Result<(), Error> {
        ser::SerializeTuple::end(self.0)
    }
}

/// The content of a struct variant: a JSON object.
struct Fields<'s, 'a>(JsonStruct<'s, 'a>);

impl ser::SerializeStructVariant for Fields<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        ser::SerializeStruct::serialize_field(&mut self.0, key, value)
    }

    fn end(self) -> Result<(), Error> {
        ser::SerializeStruct::end(self.0)
    }
}

/// An adjacently tagged value. serde serializes it as a struct: the tag first, then the content if there is any.
struct Adjacent<'s, 'a> {
    output: &'a Output,
    json: &'s mut Json<'a>,
    next: Part,
}

enum Part {
    Tag,
    Content,
    Nothing,
}

impl ser::SerializeStruct for Adjacent<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Result<(), Error> {
        match self.next {
            Part::Tag => {
                self.next = Part::Content;
                value.serialize(Tag(self.output))
            }
            Part::Content => {
                self.next = Part::Nothing;
                value.serialize(&mut *self.json)
            }
            Part::Nothing => Err(not_a_variant()),
        }
    }

    fn end(self) -> Result<(), Error> {
        match self.next {
            Part::Tag => Err(not_a_variant()),
            Part::Content | Part::Nothing => Ok(()),
        }
    }
}

fn not_a_variant() -> Error {
    Error::custom("value is not an enum with serde's external or adjacent tagging")
}
