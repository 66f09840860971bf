use std::collections::HashMap;

use plinth_schema_introspect::{Catalog, UserTypeKind};

use super::type_name::quoted_name;

/// What becomes of a type's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueKind {
    /// `smallint`, `integer`, `bigint`, `oid`: a JSON number up to 2^53, beyond that a string.
    Integer,
    /// `real`, `double precision`: a JSON number as the server prints it; `NaN` and infinities are strings.
    Float,
    /// `numeric`: a JSON number if a double holds it, else a string with every digit.
    Numeric,
    /// `boolean`.
    Boolean,
    /// `json`, `jsonb`: embedded as it is.
    Json,
    /// `timestamp`, `timestamp with time zone`: ISO 8601 with `T`, and with the offset if the type has one.
    Timestamp,
    /// `money`: text, but a sign before it makes no spreadsheet formula of it.
    Money,
    /// Everything whose text is its value: words, dates, ranges, addresses, composites, ….
    Text,
    /// An array: a JSON array, nested if it has more dimensions than one.
    Array {
        /// What its elements are.
        element: ElementKind,
        /// What stands between them: `,`, for `box` and a few of others' types `;`.
        delimiter: u8,
    },
    /// A type that nothing is known of, made after the catalog was read: an array if it reads like one, else text.
    Unknown,
}

/// What an array's elements are: the kinds that are not themselves arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ElementKind {
    /// See [`ValueKind::Integer`].
    Integer,
    /// See [`ValueKind::Float`].
    Float,
    /// See [`ValueKind::Numeric`].
    Numeric,
    /// See [`ValueKind::Boolean`].
    Boolean,
    /// See [`ValueKind::Json`].
    Json,
    /// See [`ValueKind::Timestamp`].
    Timestamp,
    /// See [`ValueKind::Text`].
    Text,
}

impl From<ElementKind> for ValueKind {
    fn from(element: ElementKind) -> Self {
        match element {
            ElementKind::Integer => Self::Integer,
            ElementKind::Float => Self::Float,
            ElementKind::Numeric => Self::Numeric,
            ElementKind::Boolean => Self::Boolean,
            ElementKind::Json => Self::Json,
            ElementKind::Timestamp => Self::Timestamp,
            ElementKind::Text => Self::Text,
        }
    }
}

impl ValueKind {
    /// The kind of a type's values, from its oid.
    ///
    /// A domain never comes here: the server describes a column of one as its base type.
    pub fn of(type_oid: u32, types: &UserTypes) -> Self {
        if let Some(element) = built_in_element(type_oid) {
            return Self::array(Self::scalar(element), if element == BOX { b';' } else { b',' });
        }
        if type_oid < FIRST_USER_OID {
            return Self::scalar(type_oid);
        }
        match types.shape(type_oid) {
            Some(Shape::Scalar) => Self::Text,
            Some(Shape::Domain { base }) => match types.shape(base) {
                // Domains over domains end at a type of another kind, and one step more than that is nobody's.
                Some(Shape::Domain { .. }) => Self::Text,
                _ => Self::of(base, types),
            },
            Some(Shape::Array { element, delimiter }) => {
                let element = match Self::of(element, types) {
                    Self::Array { .. } => Self::Text,
                    kind => kind,
                };
                Self::array(element, delimiter)
            }
            None => Self::Unknown,
        }
    }

    fn scalar(type_oid: u32) -> Self {
        match type_oid {
            20 | 21 | 23 | 26 => Self::Integer,
            700 | 701 => Self::Float,
            1700 => Self::Numeric,
            16 => Self::Boolean,
            114 | 3802 => Self::Json,
            1114 | 1184 => Self::Timestamp,
            790 => Self::Money,
            _ => Self::Text,
        }
    }

    fn array(element: Self, delimiter: u8) -> Self {
        let element = match element {
            Self::Integer => ElementKind::Integer,
            Self::Float => ElementKind::Float,
            Self::Numeric => ElementKind::Numeric,
            Self::Boolean => ElementKind::Boolean,
            Self::Json => ElementKind::Json,
            Self::Timestamp => ElementKind::Timestamp,
            Self::Money | Self::Text | Self::Array { .. } | Self::Unknown => ElementKind::Text,
        };
        Self::Array { element, delimiter }
    }

    /// Whether its values are numbers, which tables align to the right.
    pub fn is_number(self) -> bool {
        matches!(self, Self::Integer | Self::Float | Self::Numeric | Self::Money)
    }
}

/// Oids from here on are given out by each database on its own.
pub(super) const FIRST_USER_OID: u32 = 16_384;

const BOX: u32 = 603;

/// The element of a built-in array type.
pub(super) fn built_in_element(array: u32) -> Option<u32> {
    ARRAYS.binary_search_by_key(&array, |it| it.0).ok().map(|at| ARRAYS[at].1)
}

/// Array types and their elements, sorted.
#[rustfmt::skip]
const ARRAYS: &[(u32, u32)] = &[
    (143, 142), (199, 114), (210, 71), (270, 75), (271, 5069), (272, 81), (273, 83), (629, 628), (651, 650),
    (719, 718), (775, 774), (791, 790), (1000, 16), (1001, 17), (1002, 18), (1003, 19), (1005, 21), (1006, 22),
    (1007, 23), (1008, 24), (1009, 25), (1010, 27), (1011, 28), (1012, 29), (1013, 30), (1014, 1042), (1015, 1043),
    (1016, 20), (1017, 600), (1018, 601), (1019, 602), (1020, 603), (1021, 700), (1022, 701), (1027, 604),
    (1028, 26), (1034, 1033), (1040, 829), (1041, 869), (1115, 1114), (1182, 1082), (1183, 1083), (1185, 1184),
    (1187, 1186), (1231, 1700), (1263, 2275), (1270, 1266), (1561, 1560), (1563, 1562), (2201, 1790), (2207, 2202),
    (2208, 2203), (2209, 2204), (2210, 2205), (2211, 2206), (2287, 2249), (2949, 2970), (2951, 2950), (3221, 3220),
    (3643, 3614), (3644, 3642), (3645, 3615), (3735, 3734), (3770, 3769), (3807, 3802), (3905, 3904), (3907, 3906),
    (3909, 3908), (3911, 3910), (3913, 3912), (3927, 3926), (4073, 4072), (4090, 4089), (4097, 4096), (4192, 4191),
    (5039, 5038), (6150, 4451), (6151, 4532), (6152, 4533), (6153, 4534), (6155, 4535), (6157, 4536),
];

/// How a type outside `pg_catalog` is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An enum, range, composite, or a type with functions of its own: its text is its value.
    Scalar,
    /// Another type with constraints.
    Domain {
        /// The oid of what is under it.
        base: u32,
    },
    /// An array type.
    Array {
        /// The oid of its elements' type.
        element: u32,
        /// What stands between elements in its text.
        delimiter: u8,
    },
}

/// The types of one database outside `pg_catalog`, by oid.
#[derive(Clone, Debug, Default)]
pub struct UserTypes(HashMap<u32, (Shape, String)>);

impl UserTypes {
    /// Those of a snapshot. The row types of tables are not among them.
    pub fn new(catalog: &Catalog) -> Self {
        let mut types = Self::default();
        for it in &catalog.types {
            let shape = match it.kind {
                // The base is known by name only, and the server sends it in place of the domain anyway.
                UserTypeKind::Domain { .. }
                | UserTypeKind::Enum { .. }
                | UserTypeKind::Composite { .. }
                | UserTypeKind::Range
                | UserTypeKind::Base => Shape::Scalar,
            };
            let visible = catalog.search_path.contains(&it.schema);
            let schema = (!visible).then_some(it.schema.as_str());
            types.insert(it.oid, shape, schema, &it.name);
            if it.array_oid != 0 {
                let delimiter = u8::try_from(it.delimiter).unwrap_or(b',');
                types.insert(it.array_oid, Shape::Array { element: it.oid, delimiter }, None, "");
            }
        }
        types
    }

    /// Adds one; `schema` is `None` where its name is found without. An array is named by its element.
    pub fn insert(&mut self, oid: u32, shape: Shape, schema: Option<&str>, name: &str) {
        self.0.insert(oid, (shape, quoted_name(schema, name)));
    }

    /// How it is built; `None` if it is not known.
    pub fn shape(&self, oid: u32) -> Option<Shape> {
        self.0.get(&oid).map(|it| it.0)
    }

    /// Its name as `format_type` prints it; `None` if it is not known.
    pub fn name(&self, oid: u32) -> Option<&str> {
        self.0.get(&oid).map(|it| it.1.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_arrays_is_sorted() {
        assert!(ARRAYS.is_sorted());
    }

    #[test]
    fn arrays_of_boxes_are_divided_by_semicolons() {
        let types = UserTypes::default();
        let delimiter = |oid| match ValueKind::of(oid, &types) {
            ValueKind::Array { delimiter, .. } => delimiter,
            _ => 0,
        };
        assert_eq!((delimiter(1020), delimiter(1007)), (b';', b','));
    }

    #[test]
    fn an_array_of_a_domain_has_elements_of_its_base() {
        let mut types = UserTypes::default();
        types.insert(20_000, Shape::Domain { base: 23 }, None, "positive");
        types.insert(20_001, Shape::Array { element: 20_000, delimiter: b',' }, None, "");
        let expected = ValueKind::Array { element: ElementKind::Integer, delimiter: b',' };
        assert_eq!(ValueKind::of(20_001, &types), expected);
    }
}
