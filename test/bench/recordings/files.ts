/** Writes what the benchmark of recordings reads: a flow log and a capture of clients at an application. */
import { closeSync, openSync, writeSync } from 'node:fs';
import type { Config } from '../../../src/config/config.ts';
import { makeConfig } from '../../../src/inputs/make-config.ts';
import { Conversation } from '../../engine/conversation.ts';
import { udp4 } from '../../packets/build.ts';
import { writePcap, type Frame } from '../../recorded/write-capture.ts';
import { model } from '../../support/policy.ts';

const SERVERS = 200;
const CLIENTS = 20_000;
const LINKTYPE_RAW = 101;
const PCAP_HEADER_BYTES = 24;
const START_SEC = 1_700_000_000;
/** Conversations that are written at a time. */
const PIECE = 2000;
/** Each so many-th tries a port that nobody offers. */
const REFUSED_EVERY = 20;

const serverName = (i: number): string => `web-${i % SERVERS}`;
const serverAddress = (i: number): string =>
  `10.0.${(i % SERVERS) >> 6}.${((i % SERVERS) & 63) + 10}`;
const clientAddress = (i: number): string =>
  `203.${i % 3}.${((i % CLIENTS) >> 8) & 255}.${(i % CLIENTS) & 255}`;
const clientPort = (i: number): number => 32_768 + ((i * 7) % 28_000);

export function makeRules(): Config {
  const servers = Array.from({ length: SERVERS }, (_, i) => [
    serverName(i),
    { addresses: [serverAddress(i)], groups: ['web'] },
  ]);
  const rules = model({
    groups: {
      web: {
        ingress: ['tcp 443 from 203.0.0.0/8', 'tcp 80 from 203.0.0.0/8', 'udp 53 from sg:web'],
        egress: ['udp 53 to sg:web', 'tcp 443 to 10.0.0.0/8'],
      },
    },
    interfaces: Object.fromEntries(servers) as Parameters<typeof model>[0]['interfaces'],
  });
  return makeConfig('bench', rules, '/run/netns');
}

/** A record each way for each connection, in AWS's default format; @param records an even number */
export function writeFlowLog(file: string, records: number): void {
  inPieces(file, records / 2, (first, last) => {
    const lines: string[] = [];
    for (let i = first; i < last; i++) {
      const [client, server, from] = [clientAddress(i), serverAddress(i), clientPort(i)];
      const isRefused = i % REFUSED_EVERY === 0;
      const port = isRefused ? 22 : 443;
      const start = START_SEC + Math.floor(i / 1000);
      const rest = `${start} ${start + 60} ${isRefused ? 'REJECT' : 'ACCEPT'} OK`;
      const head = `2 123456789012 eni-${serverName(i)}`;
      lines.push(
        `${head} ${client} ${server} ${from} ${port} 6 12 1432 ${rest}`,
        `${head} ${server} ${client} ${port} ${from} 6 10 9876 ${rest}`,
      );
    }
    return `${lines.join('\n')}\n`;
  });
}

/** Ten packets a turn: a connection with data both ways, and a question by UDP; @param packets a multiple of ten */
export function writeCapture(file: string, packets: number): void {
  inPieces(
    file,
    packets / 10,
    (first, last) => {
      const frames: Frame[] = [];
      for (let i = first; i < last; i++) {
        const client = clientAddress(i);
        const [server, other] = [serverAddress(i), serverAddress(i + 1)];
        const port = i % REFUSED_EVERY === 0 ? 22 : 443;
        const talk = new Conversation(client, clientPort(i), server, port);
        const all = [
          ...[talk.syn(), talk.synAck(), talk.ack('client'), talk.data('client')],
          ...[talk.data('server'), talk.fin('client'), talk.fin('server'), talk.ack('client')],
          udp4(server, other, { srcPort: clientPort(i), dstPort: 53 }),
          udp4(other, server, { srcPort: 53, dstPort: clientPort(i) }),
        ];
        all.forEach((bytes, at) => frames.push({ bytes, ms: START_SEC * 1000 + i + at / 10 }));
      }
      return writePcap(frames, { linkType: LINKTYPE_RAW }).subarray(PCAP_HEADER_BYTES);
    },
    writePcap([], { linkType: LINKTYPE_RAW }),
  );
}

function inPieces(
  file: string,
  count: number,
  write: (first: number, last: number) => string | Uint8Array,
  head?: Uint8Array,
): void {
  const out = openSync(file, 'w');
  const put = (piece: string | Uint8Array): void => {
    const bytes = Buffer.from(piece);
    for (let at = 0; at < bytes.length;) at += writeSync(out, bytes, at);
  };
  if (head !== undefined) put(head);
  for (let first = 0; first < count; first += PIECE)
    put(write(first, Math.min(count, first + PIECE)));
  closeSync(out);
}
