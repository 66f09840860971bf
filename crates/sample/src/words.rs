//! The words that names, places and goods are made of. Nobody here is real: given names are common ones, surnames,
//! companies and brands are invented, telephone numbers come from ranges kept free for fiction.

/// A country that customers live in.
#[derive(Clone, Copy)]
pub(crate) struct Country {
    pub(crate) name: &'static str,
    /// How many customers live there, compared with other countries.
    pub(crate) weight: u64,
    /// Parcels take longer and cost more.
    pub(crate) overseas: bool,
    pub(crate) cities: &'static [&'static str],
    pub(crate) streets: &'static [&'static str],
    /// Whether the house number stands before the street.
    pub(crate) number_first: bool,
    /// `#` stands for a digit, `@` for a letter.
    pub(crate) postal_code: &'static str,
    /// `#` stands for a digit.
    pub(crate) phone: &'static str,
}

const ENGLISH: &[&str] = &[
    "Maple Street",
    "Mill Lane",
    "Harbour Road",
    "Orchard Avenue",
    "Station Road",
    "Willow Close",
    "Cedar Drive",
    "Kings Walk",
    "Meadow Lane",
    "Chapel Street",
];
const GERMAN: &[&str] = &[
    "Lindenweg",
    "Mühlgasse",
    "Gartenstraße",
    "Am Kirchplatz",
    "Birkenallee",
    "Seestraße",
    "Rosenweg",
    "Schulgasse",
];
const FRENCH: &[&str] = &[
    "rue des Lilas",
    "avenue du Moulin",
    "rue de la Gare",
    "place du Marché",
    "chemin des Vignes",
    "quai du Nord",
];
const DUTCH: &[&str] =
    &["Molenstraat", "Kerkweg", "Havenkade", "Tulpenlaan", "Beukenhof", "Dorpsstraat"];
const SOUTHERN: &[&str] =
    &["Calle del Sol", "Plaza Mayor", "Avenida del Mar", "Camino Real", "Calle Nueva"];
const ITALIAN: &[&str] =
    &["Via Roma", "Via dei Mille", "Corso Nuovo", "Via del Mare", "Piazza Grande"];
const NORDIC: &[&str] =
    &["Storgatan", "Skolgatan", "Hamngatan", "Parkvej", "Strandvej", "Lundevej"];

#[rustfmt::skip]
pub(crate) const COUNTRIES: &[Country] = &[
    Country { name: "Germany", weight: 24, overseas: false, cities: &["Berlin", "Hamburg", "Munich", "Cologne", "Frankfurt", "Stuttgart", "Leipzig", "Dresden", "Bremen"], streets: GERMAN, number_first: false, postal_code: "#####", phone: "+49 30 23125 ###" },
    Country { name: "United States", weight: 20, overseas: true, cities: &["New York", "Los Angeles", "Chicago", "Houston", "Seattle", "Boston", "Denver", "Austin", "Portland"], streets: ENGLISH, number_first: true, postal_code: "#####", phone: "+1 202 555 01##" },
    Country { name: "United Kingdom", weight: 14, overseas: false, cities: &["London", "Manchester", "Birmingham", "Leeds", "Bristol", "Edinburgh", "Glasgow"], streets: ENGLISH, number_first: true, postal_code: "@@# #@@", phone: "+44 7700 900###" },
    Country { name: "France", weight: 11, overseas: false, cities: &["Paris", "Lyon", "Marseille", "Toulouse", "Nantes", "Lille", "Strasbourg"], streets: FRENCH, number_first: true, postal_code: "#####", phone: "+33 1 99 00 ## ##" },
    Country { name: "Netherlands", weight: 7, overseas: false, cities: &["Amsterdam", "Rotterdam", "Utrecht", "Eindhoven", "Groningen"], streets: DUTCH, number_first: false, postal_code: "#### @@", phone: "+999 31 ######" },
    Country { name: "Austria", weight: 6, overseas: false, cities: &["Vienna", "Graz", "Linz", "Salzburg", "Innsbruck"], streets: GERMAN, number_first: false, postal_code: "####", phone: "+999 43 ######" },
    Country { name: "Switzerland", weight: 5, overseas: false, cities: &["Zurich", "Geneva", "Basel", "Bern", "Lausanne"], streets: GERMAN, number_first: false, postal_code: "####", phone: "+999 41 ######" },
    Country { name: "Spain", weight: 5, overseas: false, cities: &["Madrid", "Barcelona", "Valencia", "Seville", "Bilbao"], streets: SOUTHERN, number_first: false, postal_code: "#####", phone: "+999 34 ######" },
    Country { name: "Italy", weight: 4, overseas: false, cities: &["Rome", "Milan", "Turin", "Naples", "Bologna"], streets: ITALIAN, number_first: false, postal_code: "#####", phone: "+999 39 ######" },
    Country { name: "Poland", weight: 4, overseas: false, cities: &["Warsaw", "Krakow", "Gdansk", "Poznan"], streets: &["Lipowa", "Polna", "Szkolna", "Ogrodowa"], number_first: false, postal_code: "##-###", phone: "+999 48 ######" },
    Country { name: "Canada", weight: 4, overseas: true, cities: &["Toronto", "Vancouver", "Montreal", "Calgary", "Ottawa"], streets: ENGLISH, number_first: true, postal_code: "@#@ #@#", phone: "+1 613 555 01##" },
    Country { name: "Sweden", weight: 3, overseas: false, cities: &["Stockholm", "Gothenburg", "Malmo", "Uppsala"], streets: NORDIC, number_first: false, postal_code: "### ##", phone: "+999 46 ######" },
    Country { name: "Belgium", weight: 3, overseas: false, cities: &["Brussels", "Antwerp", "Ghent", "Bruges"], streets: DUTCH, number_first: false, postal_code: "####", phone: "+999 32 ######" },
    Country { name: "Denmark", weight: 2, overseas: false, cities: &["Copenhagen", "Aarhus", "Odense"], streets: NORDIC, number_first: false, postal_code: "####", phone: "+999 45 ######" },
    Country { name: "Ireland", weight: 2, overseas: false, cities: &["Dublin", "Cork", "Galway"], streets: ENGLISH, number_first: true, postal_code: "@## @#@#", phone: "+353 20 91# ####" },
    Country { name: "Australia", weight: 2, overseas: true, cities: &["Sydney", "Melbourne", "Brisbane", "Perth"], streets: ENGLISH, number_first: true, postal_code: "####", phone: "+999 61 ######" },
    Country { name: "Japan", weight: 1, overseas: true, cities: &["Tokyo", "Osaka", "Kyoto"], streets: &["Sakura-dori", "Minato-dori", "Chuo"], number_first: true, postal_code: "###-####", phone: "+999 81 ######" },
];

#[rustfmt::skip]
pub(crate) const GIVEN_NAMES: &[&str] = &[
    "Emma", "Noah", "Mia", "Leon", "Hannah", "Paul", "Sofia", "Lukas", "Anna", "Felix", "Lea", "Jonas", "Clara", "Elias", "Marie", "Finn", "Laura",
    "Max", "Julia", "Ben", "Sarah", "Tom", "Lisa", "Jan", "Olivia", "Liam", "Ava", "James", "Grace", "Henry", "Chloe", "Jack", "Ella", "Oscar",
    "Lucy", "Harry", "Amelia", "George", "Isla", "Arthur", "Camille", "Louis", "Manon", "Hugo", "Jade", "Gabriel", "Alice", "Jules", "Ines", "Arthus",
    "Daan", "Sanne", "Bram", "Femke", "Sem", "Lotte", "Pablo", "Lucia", "Mateo", "Carmen", "Marco", "Giulia", "Luca", "Chiara", "Jakub", "Zofia",
    "Kacper", "Maja", "Elsa", "Nils", "Astrid", "Axel", "Freja", "Mikkel", "Aoife", "Conor", "Yuki", "Haruto", "Sakura", "Ren", "Priya", "Arjun",
    "Fatima", "Omar", "Layla", "Yusuf", "Mei", "Chen", "Ngozi", "Kofi", "Amara", "Tariq", "Elena", "Viktor", "Nadia", "Stefan", "Ruth", "Peter",
    "Karen", "Michael", "Susan", "Robert", "Linda", "Thomas", "Monika", "Andreas", "Petra", "Martin", "Sabine", "Daniel",
];
pub(crate) const SURNAME_BEGINNINGS: &[&str] = &[
    "Al", "Bran", "Cor", "Dal", "El", "Fen", "Gar", "Hal", "Isen", "Jor", "Kel", "Lin", "Mar",
    "Nor", "Ost", "Pel", "Quil", "Ros", "Sol", "Tor", "Ul", "Var", "Wes", "Yar", "Zel", "Thorn",
    "Stern", "Bel",
];
pub(crate) const SURNAME_ENDINGS: &[&str] = &[
    "bach", "berg", "brook", "dahl", "den", "dorf", "field", "gard", "holm", "kamp", "lund",
    "mark", "mere", "mont", "more", "nik", "ova", "rin", "sen", "stad", "ton", "vale", "vik",
    "wood", "wick", "well",
];
pub(crate) const COMPANY_ENDINGS: &[&str] = &[
    "Studio",
    "Consulting",
    "Interiors",
    "Catering",
    "Works",
    "& Partners",
    "Events",
    "Clinic",
    "Logistics",
];
pub(crate) const SUPPLIER_ENDINGS: &[&str] =
    &["Trading", "Manufacturing", "Imports", "Goods", "Wholesale", "Industries", "Supply", "& Co"];
/// Brands of products.
#[rustfmt::skip]
pub(crate) const SERIES: &[&str] = &[
    "Lumora", "Arvado", "Tindra", "Fjellby", "Orlan", "Kestra", "Velmo", "Noruna", "Halvik", "Brevano", "Solenne", "Tarkin", "Mirelo", "Ostara",
    "Pelluna", "Quarvo", "Rindal", "Sundby", "Ulmera", "Vantor", "Wendelo", "Yarrow", "Zephyra", "Alderan", "Birkel", "Corvia", "Dunemark",
];
pub(crate) const COLORS: &[&str] =
    &["black", "white", "grey", "blue", "green", "red", "natural", "sand", "navy", "terracotta"];

/// When people buy more of a category.
#[derive(Clone, Copy)]
pub(crate) enum Season {
    Always,
    Summer,
    Winter,
    Gifts,
}

/// A lower-level category and what is sold in it.
pub(crate) struct Shelf {
    pub(crate) name: &'static str,
    pub(crate) season: Season,
    /// Least and greatest list price, in US dollars.
    pub(crate) dollars: (i64, i64),
    /// Least and greatest weight of a unit.
    pub(crate) grams: (i64, i64),
    pub(crate) materials: &'static [&'static str],
    pub(crate) goods: &'static [&'static str],
}

use Season::{Always, Gifts, Summer, Winter};

const fn shelf(
    name: &'static str,
    season: Season,
    dollars: (i64, i64),
    grams: (i64, i64),
    materials: &'static [&'static str],
    goods: &'static [&'static str],
) -> Shelf {
    Shelf { name, season, dollars, grams, materials, goods }
}

/// Top-level categories, each with its shelves.
#[rustfmt::skip]
pub(crate) const CATEGORIES: &[(&str, &[Shelf])] = &[
    ("Home & Living", &[
        shelf("Lighting", Winter, (19, 240), (400, 4000), &["steel", "brass", "glass", "oak"], &["Desk Lamp", "Floor Lamp", "Pendant Light", "Table Lamp", "Wall Light", "String Lights"]),
        shelf("Furniture", Always, (49, 690), (3000, 38_000), &["oak", "walnut", "pine", "steel"], &["Side Table", "Bookshelf", "Armchair", "Stool", "Dining Chair", "Coffee Table", "Sideboard"]),
        shelf("Textiles", Winter, (12, 140), (200, 2500), &["cotton", "linen", "wool"], &["Throw Blanket", "Cushion", "Curtain", "Rug", "Bed Linen Set", "Towel Set"]),
        shelf("Decoration", Gifts, (8, 95), (100, 2500), &["ceramic", "glass", "wood", "brass"], &["Vase", "Picture Frame", "Candle Holder", "Wall Clock", "Mirror", "Scented Candle"]),
        shelf("Storage", Always, (9, 120), (300, 6000), &["bamboo", "steel", "felt"], &["Basket", "Storage Box", "Shoe Rack", "Coat Hanger", "Drawer Organizer"]),
    ]),
    ("Kitchen", &[
        shelf("Cookware", Gifts, (15, 220), (500, 5500), &["steel", "cast iron", "aluminium", "copper"], &["Frying Pan", "Saucepan", "Stock Pot", "Wok", "Casserole", "Grill Pan"]),
        shelf("Coffee & Tea", Gifts, (9, 460), (150, 6500), &["steel", "glass", "ceramic"], &["Espresso Machine", "French Press", "Tea Kettle", "Coffee Grinder", "Milk Frother", "Teapot", "Coffee Mug"]),
        shelf("Kitchen Appliances", Gifts, (29, 390), (900, 9000), &["steel", "plastic"], &["Toaster", "Hand Blender", "Stand Mixer", "Waffle Iron", "Slow Cooker", "Food Processor"]),
        shelf("Tableware", Always, (6, 110), (150, 3500), &["porcelain", "stoneware", "glass"], &["Dinner Plate Set", "Bowl Set", "Wine Glasses", "Cutlery Set", "Water Carafe"]),
        shelf("Knives & Boards", Always, (14, 190), (150, 2500), &["steel", "oak", "bamboo"], &["Chef's Knife", "Bread Knife", "Paring Knife", "Cutting Board", "Knife Block"]),
    ]),
    ("Electronics", &[
        shelf("Audio", Gifts, (19, 380), (40, 4500), &["plastic", "aluminium"], &["Headphones", "Earbuds", "Bluetooth Speaker", "Soundbar", "Turntable", "Radio"]),
        shelf("Computer Accessories", Always, (9, 180), (50, 1600), &["plastic", "aluminium"], &["Keyboard", "Mouse", "USB-C Hub", "Laptop Stand", "Webcam", "Monitor Arm"]),
        shelf("Smart Home", Winter, (15, 260), (60, 1500), &["plastic"], &["Smart Plug", "Thermostat", "Motion Sensor", "Video Doorbell", "Smart Bulb", "Smoke Alarm"]),
        shelf("Phone Accessories", Always, (7, 80), (20, 400), &["silicone", "leather", "plastic"], &["Phone Case", "Power Bank", "Wireless Charger", "Charging Cable", "Phone Holder"]),
        shelf("Wearables", Gifts, (39, 330), (20, 200), &["aluminium", "silicone"], &["Fitness Tracker", "Smartwatch", "Sleep Tracker", "Heart Rate Strap"]),
    ]),
    ("Garden & Outdoor", &[
        shelf("Garden Tools", Summer, (8, 160), (200, 5000), &["steel", "ash"], &["Pruning Shears", "Garden Spade", "Watering Can", "Rake", "Garden Hose", "Hand Trowel"]),
        shelf("Plants & Pots", Summer, (5, 85), (300, 9000), &["terracotta", "ceramic", "concrete"], &["Plant Pot", "Hanging Planter", "Herb Kit", "Raised Bed", "Plant Stand"]),
        shelf("Outdoor Furniture", Summer, (39, 580), (2500, 32_000), &["teak", "aluminium", "rattan"], &["Garden Chair", "Sun Lounger", "Parasol", "Garden Table", "Hammock"]),
        shelf("Barbecue", Summer, (12, 420), (300, 28_000), &["steel", "cast iron"], &["Charcoal Grill", "Gas Grill", "Grill Tongs", "Fire Bowl", "Smoker Box"]),
        shelf("Camping", Summer, (9, 320), (100, 7000), &["polyester", "aluminium"], &["Tent", "Sleeping Bag", "Camping Stove", "Lantern", "Cool Box", "Folding Chair"]),
    ]),
    ("Sports", &[
        shelf("Fitness", Winter, (9, 280), (200, 20_000), &["rubber", "steel", "cork"], &["Yoga Mat", "Dumbbell Set", "Resistance Bands", "Kettlebell", "Foam Roller", "Jump Rope"]),
        shelf("Cycling", Summer, (9, 210), (50, 1800), &["aluminium", "polycarbonate"], &["Bike Helmet", "Bike Light Set", "Bike Pump", "Bike Lock", "Saddle Bag"]),
        shelf("Running", Summer, (12, 150), (60, 900), &["polyester", "mesh"], &["Running Shoes", "Running Vest", "Running Belt", "Running Cap", "Headlamp"]),
        shelf("Winter Sports", Winter, (15, 340), (100, 4500), &["polycarbonate", "wool"], &["Ski Goggles", "Ski Helmet", "Sled", "Ski Gloves", "Snowshoes"]),
        shelf("Swimming", Summer, (8, 70), (40, 700), &["silicone", "polyester"], &["Swim Goggles", "Swim Fins", "Dry Bag", "Swim Cap", "Beach Towel"]),
    ]),
    ("Fashion", &[
        shelf("Bags", Gifts, (19, 260), (200, 1900), &["leather", "canvas", "recycled polyester"], &["Backpack", "Tote Bag", "Weekender", "Messenger Bag", "Belt Bag"]),
        shelf("Clothing", Winter, (14, 190), (120, 1500), &["cotton", "merino wool", "linen"], &["T-Shirt", "Sweater", "Rain Jacket", "Hoodie", "Shirt", "Parka"]),
        shelf("Shoes", Always, (29, 210), (400, 1600), &["leather", "canvas"], &["Sneakers", "Boots", "Sandals", "Slippers", "Loafers"]),
        shelf("Accessories", Gifts, (9, 120), (30, 500), &["leather", "wool", "silk"], &["Scarf", "Beanie", "Belt", "Wallet", "Umbrella", "Gloves"]),
        shelf("Watches & Jewelry", Gifts, (19, 340), (20, 250), &["silver", "steel", "brass"], &["Watch", "Necklace", "Bracelet", "Earrings", "Ring"]),
    ]),
    ("Kids & Toys", &[
        shelf("Toys", Gifts, (8, 110), (80, 2800), &["wood", "plastic"], &["Building Blocks", "Wooden Train", "Puzzle", "Marble Run", "Toy Kitchen", "Kite"]),
        shelf("Board Games", Gifts, (12, 70), (200, 2200), &["cardboard", "wood"], &["Strategy Game", "Card Game", "Family Game", "Chess Set", "Dice Game"]),
        shelf("Baby", Always, (7, 190), (50, 6000), &["cotton", "silicone"], &["Baby Carrier", "Night Light", "Bib Set", "Play Mat", "Baby Blanket"]),
        shelf("School", Summer, (4, 90), (30, 1400), &["polyester", "paper"], &["School Bag", "Pencil Case", "Lunch Box", "Notebook Set", "Drinking Bottle"]),
        shelf("Soft Toys", Gifts, (9, 60), (80, 1200), &["cotton", "plush"], &["Bear", "Rabbit", "Elephant", "Fox", "Whale"]),
    ]),
    ("Beauty & Health", &[
        shelf("Skin Care", Always, (6, 90), (50, 500), &["glass", "plastic"], &["Face Cream", "Cleansing Gel", "Serum", "Hand Cream", "Sun Cream"]),
        shelf("Hair Care", Always, (5, 160), (80, 900), &["plastic", "bamboo"], &["Shampoo", "Hair Dryer", "Hair Brush", "Conditioner", "Straightener"]),
        shelf("Wellness", Winter, (8, 150), (80, 3500), &["cotton", "bamboo"], &["Massage Ball", "Heat Pad", "Aroma Diffuser", "Bath Salt", "Eye Mask"]),
        shelf("Oral Care", Always, (4, 130), (20, 600), &["plastic", "bamboo"], &["Electric Toothbrush", "Toothbrush Set", "Water Flosser", "Tongue Scraper"]),
        // Opened, not stocked yet: a category without products.
        shelf("Gift Sets", Gifts, (20, 90), (200, 1500), &[], &[]),
    ]),
];

/// A name like `Norvik`.
pub(crate) fn surname(random: &mut crate::random::Random) -> String {
    format!("{}{}", random.pick(SURNAME_BEGINNINGS), random.pick(SURNAME_ENDINGS))
}

/// The pattern with a digit for each `#` and a letter for each `@`.
pub(crate) fn fill(pattern: &str, random: &mut crate::random::Random) -> String {
    pattern
        .chars()
        .map(|place| match place {
            '#' => random.pick(&['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']),
            '@' => random.pick(&['A', 'B', 'C', 'D', 'E', 'H', 'K', 'L', 'N', 'R', 'S', 'T', 'W']),
            other => other,
        })
        .collect()
}
