/**
 * The captures of the tests, in a process of their own: libpcap looks where its process is.
 *
 *   node pcap-child.js sniff DEVICE FILTER [SNAP]   prints `TYPE ready`, then each packet in hexadecimal, cut ones with a `+`
 *   node pcap-child.js inject DEVICE HEX...         sends them in order
 *   node --expose-gc pcap-child.js misuse           tries what must fail, prints the messages; then collects garbage
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { openPcap } from '../../src/ports/pcap.ts';
import { hex, toHex } from '../packets/build.ts';

const say = (line: string): boolean => process.stdout.write(`${line}\n`);

function messageOf(action: () => unknown): string {
  try {
    return `no error: ${String(action())}`;
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
}

async function misuse(): Promise<void> {
  say(messageOf(() => openPcap('no-such-device')));
  say(messageOf(() => openPcap('lo', 'not a filter')));
  say(messageOf(() => openPcap('lo', '', 0)));
  say(messageOf(() => openPcap('lo', '', 65536)));
  const pcap = openPcap('lo');
  say(messageOf(() => pcap.inject(new Uint8Array(0))));
  pcap.close();
  pcap.close();
  say(messageOf(() => pcap.inject(hex('00'))));
  for (let i = 0; i < 20; i++) {
    openPcap('lo').close();
    messageOf(() => openPcap('no-such-device'));
    globalThis.gc!();
    await sleep(1);
  }
  say('alive');
}

const [, , action, device, ...rest] = process.argv;
switch (action) {
  case 'sniff': {
    const [filter, snap] = rest;
    const pcap = openPcap(device, filter, snap === undefined ? undefined : Number(snap));
    pcap.read((bytes, isCut) => say(`packet ${toHex(bytes)}${isCut ? '+' : ''}`));
    say(`${pcap.linkType} ready`);
    break;
  }
  case 'inject': {
    const pcap = openPcap(device);
    for (const packet of rest) pcap.inject(hex(packet));
    pcap.close();
    break;
  }
  default:
    await misuse();
}
