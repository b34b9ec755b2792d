/**
 * DnsMessage reads as much of a DNS message as a forwarder needs: the header, the one question, and how long an answer
 * may be. Everything else is passed on as it came. Sources: RFC 1035 section 4.1, RFC 6891 section 6.1.
 */
const HEADER_BYTES = 12;
const LABEL_BYTES_MAX = 63;
const NAME_BYTES_MAX = 255;
const TYPE_OPT = 41;
/** RFC 1035 section 4.2.1: without EDNS. */
const ANSWER_BYTES = 512;
/** What fits into a packet on nearly every path (DNS flag day 2020); what is longer goes over TCP. */
export const ANSWER_BYTES_MAX = 1232;

const FLAG_RESPONSE = 0x8000;
const FLAG_TRUNCATED = 0x0200;
const OPCODE_MASK = 0x7800;
/** Opcode and RD of the question are repeated in an answer. */
const ECHOED_FLAGS = 0x7900;

export const FORMERR = 1;
export const SERVFAIL = 2;
export const NOTIMP = 4;

export interface DnsQuestion {
  /** Name, type and class, as sent. */
  readonly question: Buffer;
  /** The longest answer over UDP. */
  readonly answerBytes: number;
  readonly hasEdns: boolean;
}

/** The question of a query; a response code to answer with; undefined: no answer, so as not to answer answers. */
export function readQuery(message: Buffer): DnsQuestion | number | undefined {
  if (message.length < HEADER_BYTES) return undefined;
  const flags = message.readUInt16BE(2);
  if ((flags & FLAG_RESPONSE) !== 0) return undefined;
  if ((flags & OPCODE_MASK) !== 0) return NOTIMP;
  const end = endOfQuestion(message);
  const records = message.readUInt16BE(6) + message.readUInt16BE(8);
  if (end === undefined || records > 0) return FORMERR;
  const size = readEdns(message, end, message.readUInt16BE(10));
  if (size === undefined) return FORMERR;
  return {
    question: message.subarray(HEADER_BYTES, end),
    answerBytes: Math.min(Math.max(size, ANSWER_BYTES), ANSWER_BYTES_MAX),
    hasEdns: size > 0,
  };
}

/** Whether a message answers a question that was sent with an id. Names are compared as DNS does, without case. */
export function isAnswer(message: Buffer, id: number, { question }: DnsQuestion): boolean {
  if (message.length < HEADER_BYTES || message.readUInt16BE(0) !== id) return false;
  if ((message.readUInt16BE(2) & FLAG_RESPONSE) === 0) return false;
  const end = endOfQuestion(message);
  if (end === undefined) return false;
  const echoed = message.subarray(HEADER_BYTES, end);
  return echoed.equals(question) || folded(echoed) === folded(question);
}

/** The message with another id. */
export function withId(message: Buffer, id: number): Buffer {
  const copy = Buffer.from(message);
  copy.writeUInt16BE(id, 0);
  return copy;
}

/** An answer without records. @param query it is at least a header */
export function makeRefusal(query: Buffer, code: number): Buffer {
  const end = endOfQuestion(query);
  const answer = Buffer.from(query.subarray(0, end ?? HEADER_BYTES));
  answer.writeUInt16BE(FLAG_RESPONSE | (query.readUInt16BE(2) & ECHOED_FLAGS) | code, 2);
  answer.writeUInt16BE(end === undefined ? 0 : 1, 4);
  answer.fill(0, 6, HEADER_BYTES);
  return answer;
}

/** The answer as it fits into a datagram: whole, or without its records, so that the instance asks by TCP. */
export function fitAnswer(answer: Buffer, { answerBytes, hasEdns }: DnsQuestion): Buffer {
  if (answer.length <= answerBytes) return answer;
  const cut = Buffer.from(answer.subarray(0, endOfQuestion(answer)));
  cut.writeUInt16BE(answer.readUInt16BE(2) | FLAG_TRUNCATED, 2);
  cut.fill(0, 6, HEADER_BYTES);
  if (!hasEdns) return cut;
  cut.writeUInt16BE(1, 10);
  const opt = Buffer.alloc(11);
  opt.writeUInt16BE(TYPE_OPT, 1);
  opt.writeUInt16BE(ANSWER_BYTES_MAX, 3);
  return Buffer.concat([cut, opt]);
}

/** Undefined unless there is exactly one question, with a name written out. */
function endOfQuestion(message: Buffer): number | undefined {
  if (message.readUInt16BE(4) !== 1) return undefined;
  const end = endOfName(message, HEADER_BYTES);
  return end === undefined || end + 4 > message.length ? undefined : end + 4;
}

function endOfName(message: Buffer, start: number): number | undefined {
  let at = start;
  for (;;) {
    const length = message[at];
    if (length === undefined || length > LABEL_BYTES_MAX) return undefined;
    at += 1 + length;
    if (at - start > NAME_BYTES_MAX || at > message.length) return undefined;
    if (length === 0) return at;
  }
}

/** What EDNS says of the longest answer; 0 without EDNS; undefined if the records are cut short. */
function readEdns(message: Buffer, start: number, records: number): number | undefined {
  let size = 0;
  let at = start;
  for (let i = 0; i < records; i++) {
    const end = endOfName(message, at);
    if (end === undefined || end + 10 > message.length) return undefined;
    if (message.readUInt16BE(end) === TYPE_OPT) {
      // RFC 6891 section 6.1.1: not more than one.
      if (size > 0) return undefined;
      size = Math.max(1, message.readUInt16BE(end + 2));
    }
    at = end + 10 + message.readUInt16BE(end + 8);
    if (at > message.length) return undefined;
  }
  return size;
}

/** Lengths of labels are below the letters, so they stay as they are. */
function folded(question: Buffer): string {
  return question.toString('latin1').toLowerCase();
}
