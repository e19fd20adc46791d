//! PURE. The frames of one direction of a WebSocket (RFC 6455 §5) on their way: they are counted, and text messages that a
//! [`Rule`] is about are replaced.
//!
//! Inputs: the bytes of the stream, in whatever pieces they come. Outputs: the bytes to pass on.
//!
//! Invariants:
//! - One stream of bytes gives one output, however it is cut into pieces.
//! - What no rule is about passes byte by byte, mistakes included: whoever reads the frames judges them.
//! - At most [`MAX_COLLECTED`] bytes of a message wait until it is complete; a longer one passes as it is.

/// Bytes of a message that a rule is about. The queries that clients add to a namespace's name fit many times.
pub const MAX_COLLECTED: u64 = 16 * 1024;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
/// From here on opcodes are those of control frames.
const CONTROL: u8 = 8;

/// Which text messages are replaced, and by what.
#[derive(Debug)]
pub struct Rule {
    /// How they begin.
    pub prefix: &'static [u8],
    /// Whether the frames of this direction are masked. Others pass as they are.
    pub masked: bool,
    /// The other text; `None`: it stays.
    pub change: fn(&[u8]) -> Option<Vec<u8>>,
}

/// What has come in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Of everything, frames' heads included.
    pub bytes: u64,
    /// Texts and binaries that are complete.
    pub messages: u64,
    /// Payload of the message that is not complete yet.
    pub incomplete: u64,
}

/// The frames of one direction.
#[derive(Debug)]
pub struct Filter {
    rule: Option<&'static Rule>,
    counts: Counts,
    /// Payload of the present frame that has not come yet.
    left: u64,
    frame: Present,
    rare: Option<Box<Rare>>,
}

/// The frame whose payload is coming.
#[derive(Debug, Clone, Copy, Default)]
struct Present {
    fin: bool,
    control: bool,
    /// Its message is being collected, not passed on.
    collected: bool,
    key: [u8; 4],
    /// Where in the key its next byte is.
    key_at: u8,
}

/// What few frames need.
#[derive(Debug, Default)]
struct Rare {
    /// The beginning of a frame, too short to judge it.
    begun: Vec<u8>,
    /// The message that is being collected, unmasked.
    message: Option<Vec<u8>>,
}

/// A frame's head (RFC 6455 §5.2).
#[derive(Debug, Clone, Copy)]
struct Head {
    fin: bool,
    reserved: bool,
    opcode: u8,
    key: Option<[u8; 4]>,
    /// Bytes of the head itself.
    size: usize,
    /// Bytes of the payload.
    len: u64,
}

impl Filter {
    /// Without a rule everything passes at once, and is only counted.
    #[must_use]
    pub const fn new(rule: Option<&'static Rule>) -> Self {
        let counts = Counts { bytes: 0, messages: 0, incomplete: 0 };
        let frame = Present { fin: false, control: false, collected: false, key: [0; 4], key_at: 0 };
        Self { rule, counts, left: 0, frame, rare: None }
    }

    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    #[must_use]
    pub const fn has_rule(&self) -> bool {
        self.rule.is_some()
    }

    /// Takes what has come. So many of its first bytes pass as they are, which the result says; after them comes what was
    /// added to `output`, which must be empty before. The rest waits for what comes next.
    pub fn handle(&mut self, input: &[u8], output: &mut Vec<u8>) -> usize {
        self.counts.bytes += input.len() as u64;
        let mut sink = Sink { input, passed: 0, output, closed: self.rule.is_none() };
        let mut at = 0;
        while at < input.len() {
            if self.left > 0 {
                let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len() - at);
                self.payload(&input[at..at + len], Some(at), &mut sink);
                at += len;
            } else if let Some(begun) = self.take_begun() {
                at = self.go_on(begun, at, &mut sink);
            } else if let Some(head) = self.head(&input[at..]) {
                self.begin(head, &input[at + head.size..], &mut sink);
                if !self.frame.collected {
                    sink.pass(at, head.size);
                }
                at += head.size;
                self.end_if_complete(&mut sink);
            } else {
                self.rare().begun.extend_from_slice(&input[at..]);
                at = input.len();
            }
        }
        if self.rare.as_ref().is_some_and(|rare| rare.begun.is_empty() && rare.message.is_none()) {
            self.rare = None;
        }
        if self.rule.is_none() { input.len() } else { sink.passed }
    }

    /// Adds to the beginning of a frame until it can be judged.
    fn go_on(&mut self, mut begun: Vec<u8>, mut at: usize, sink: &mut Sink<'_>) -> usize {
        while at < sink.input.len() {
            begun.push(sink.input[at]);
            at += 1;
            let Some(head) = self.head(&begun) else { continue };
            let (first, payload) = begun.split_at(head.size);
            self.begin(head, payload, sink);
            if !self.frame.collected {
                sink.add(first);
            }
            self.end_if_complete(sink);
            if !payload.is_empty() {
                self.payload(payload, None, sink);
            }
            return at;
        }
        self.rare().begun = begun;
        at
    }

    /// The head of the frame that `bytes` begin with, once there is enough of it, and of its payload, to judge it.
    fn head(&self, bytes: &[u8]) -> Option<Head> {
        let head = Head::parse(bytes)?;
        let so_far = match (head.opcode, self.message()) {
            (TEXT, _) => 0,
            (CONTINUATION, Some(message)) => message.len(),
            _ => return Some(head),
        };
        let Some(rule) = self.rule.filter(|rule| head.suits(rule)) else { return Some(head) };
        let missing = rule.prefix.len().saturating_sub(so_far);
        let looked_at = usize::try_from(head.len).unwrap_or(usize::MAX).min(missing);
        (bytes.len() >= head.size + looked_at).then_some(head)
    }

    /// Decides what becomes of a frame; `payload` begins with what [`Self::head`] has waited for.
    fn begin(&mut self, head: Head, payload: &[u8], sink: &mut Sink<'_>) {
        let control = head.opcode >= CONTROL;
        let collected = !control && self.is_collected(head, payload);
        if !control && !collected {
            self.let_go(sink);
        }
        if collected && self.message().is_none() {
            self.rare().message = Some(Vec::new());
        }
        self.left = head.len;
        self.frame = Present { fin: head.fin, control, collected, key: head.key.unwrap_or_default(), key_at: 0 };
    }

    fn is_collected(&self, head: Head, payload: &[u8]) -> bool {
        let Some(rule) = self.rule.filter(|rule| head.suits(rule)) else { return false };
        let so_far = match (head.opcode, self.message()) {
            (TEXT, None) => &[][..],
            (CONTINUATION, Some(message)) => message,
            // A message begins inside another one, or none goes on, or it is no text.
            _ => return false,
        };
        if head.len.saturating_add(so_far.len() as u64) > MAX_COLLECTED {
            return false;
        }
        let len = usize::try_from(head.len).unwrap_or(usize::MAX).min(payload.len());
        let key = head.key.unwrap_or_default();
        let more = payload[..len].iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key);
        let mut missing = rule.prefix.iter();
        let equal = so_far.iter().copied().chain(more).all(|found| missing.next().is_none_or(|expected| found == *expected));
        equal && (missing.len() == 0 || !head.fin)
    }

    fn payload(&mut self, part: &[u8], at: Option<usize>, sink: &mut Sink<'_>) {
        let Present { control, collected, key, .. } = self.frame;
        if collected {
            let from = usize::from(self.frame.key_at);
            let key = key.iter().copied().cycle().skip(from);
            let unmasked = part.iter().zip(key).map(|(byte, key)| byte ^ key);
            self.rare().message.get_or_insert_default().extend(unmasked);
            self.frame.key_at = ((from + part.len()) % 4) as u8;
        } else {
            match at {
                Some(at) => sink.pass(at, part.len()),
                None => sink.add(part),
            }
        }
        if !control {
            self.counts.incomplete += part.len() as u64;
        }
        self.left = self.left.saturating_sub(part.len() as u64);
        self.end_if_complete(sink);
    }

    fn end_if_complete(&mut self, sink: &mut Sink<'_>) {
        if self.left > 0 || self.frame.control || !self.frame.fin {
            return;
        }
        self.counts.messages += 1;
        self.counts.incomplete = 0;
        let message = self.rare.as_mut().and_then(|rare| rare.message.take());
        if let (Some(rule), Some(message)) = (self.rule, message) {
            let changed = (rule.change)(&message).unwrap_or(message);
            sink.add_frame(true, rule.masked.then_some(self.frame.key), &changed);
        }
    }

    /// Passes on what was collected of a message that turns out to be another one: as its first fragment, so that the rest of
    /// it can follow as it is.
    fn let_go(&mut self, sink: &mut Sink<'_>) {
        let message = self.rare.as_mut().and_then(|rare| rare.message.take());
        if let (Some(rule), Some(message)) = (self.rule, message) {
            sink.add_frame(false, rule.masked.then_some(self.frame.key), &message);
        }
    }

    fn message(&self) -> Option<&[u8]> {
        self.rare.as_ref()?.message.as_deref()
    }

    fn take_begun(&mut self) -> Option<Vec<u8>> {
        self.rare.as_mut().map(|rare| std::mem::take(&mut rare.begun)).filter(|begun| !begun.is_empty())
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

impl Head {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (first, second) = (*bytes.first()?, *bytes.get(1)?);
        let (len, after) = match second & 0x7F {
            126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
            127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
            short => (u64::from(short), 2),
        };
        let (key, size) = match second & 0x80 {
            0 => (None, after),
            _ => (Some(bytes.get(after..after + 4)?.try_into().ok()?), after + 4),
        };
        Some(Self { fin: first & 0x80 != 0, reserved: first & 0x70 != 0, opcode: first & 0x0F, key, size, len })
    }

    fn suits(&self, rule: &Rule) -> bool {
        !self.reserved && self.key.is_some() == rule.masked
    }
}

/// Where bytes go: as long as nothing is held back, they stay in their place.
struct Sink<'a> {
    input: &'a [u8],
    passed: usize,
    output: &'a mut Vec<u8>,
    /// Nothing is held back, so nothing comes here.
    closed: bool,
}

impl Sink<'_> {
    fn pass(&mut self, at: usize, len: usize) {
        if self.closed {
            return;
        }
        if self.passed == at && self.output.is_empty() {
            self.passed += len;
        } else {
            self.output.extend_from_slice(&self.input[at..at + len]);
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        if !self.closed {
            self.output.extend_from_slice(bytes);
        }
    }

    fn add_frame(&mut self, fin: bool, key: Option<[u8; 4]>, payload: &[u8]) {
        let mask = if key.is_some() { 0x80 } else { 0 };
        self.output.push(if fin { 0x80 | TEXT } else { TEXT });
        match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
            (Ok(len @ ..=125), _) => self.output.push(mask | len),
            (_, Ok(len)) => {
                self.output.push(mask | 126);
                self.output.extend(len.to_be_bytes());
            }
            (_, Err(_)) => {
                self.output.push(mask | 127);
                self.output.extend((payload.len() as u64).to_be_bytes());
            }
        }
        self.output.extend(key.iter().flatten());
        let key = key.unwrap_or_default();
        self.output.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    }
}
