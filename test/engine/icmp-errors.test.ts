/**
 * ICMP and ICMPv6 errors: those about a flow that is known pass to whoever sent what they quote, and no
 * others do without a rule. No group here has a rule for ICMP.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  concat,
  destinationOptions,
  fragment6,
  fragments4,
  fragments6,
  hopByHop,
  icmp4,
  icmp6,
  icmpError4,
  icmpError6,
  ipv4,
  ipv6,
  PROTOCOL,
  routing,
  tcp,
  tcp4,
  tcp6,
  udp,
  udp4,
  udp6,
  with16,
  type TcpOptions,
  type UdpOptions,
} from '../packets/build.ts';
import { Conversation } from './conversation.ts';
import { Rig } from './rig.ts';

interface Family {
  readonly name: string;
  readonly db: string;
  readonly web: string;
  readonly out: string;
  readonly stranger: string;
  /** On the way between; no end of any flow, and of no network that anybody has a rule for. */
  readonly router: string;
  /** Types of errors with a code each. */
  readonly errors: readonly (readonly [name: string, type: number, code: number])[];
  /** Types that quote a packet too, and are nothing to pass without a rule. */
  readonly others: readonly (readonly [name: string, type: number, code: number, fate: string])[];
  readonly ipHeaderBytes: number;
  tcp(src: string, dst: string, o: TcpOptions): Uint8Array;
  udp(src: string, dst: string, o: UdpOptions): Uint8Array;
  echo(src: string, dst: string, id: number, isReply?: boolean): Uint8Array;
  gre(src: string, dst: string): Uint8Array;
  error(
    from: string,
    to: string,
    quoted: Uint8Array,
    type?: number,
    code?: number,
    quotedBytes?: number,
  ): Uint8Array;
}

const V4: Family = {
  name: 'IPv4',
  db: '10.0.0.13',
  web: '10.0.0.11',
  out: '198.51.100.7',
  stranger: '198.51.100.66',
  router: '192.0.2.1',
  errors: [
    ['network unreachable', 3, 0],
    ['host unreachable', 3, 1],
    ['port unreachable', 3, 3],
    ['fragmentation needed', 3, 4],
    ['administratively prohibited', 3, 13],
    ['TTL exceeded', 11, 0],
    ['reassembly time exceeded', 11, 1],
    ['parameter problem', 12, 0],
  ],
  others: [
    ['source quench', 4, 0, 'ingress-rules'],
    ['redirect', 5, 1, 'ingress-rules'],
  ],
  ipHeaderBytes: 20,
  tcp: (src, dst, o) => tcp4(src, dst, o),
  udp: (src, dst, o) => udp4(src, dst, o),
  echo: (src, dst, id, isReply = false) => icmp4(src, dst, { type: isReply ? 0 : 8, id }),
  gre: (src, dst) => ipv4({ src, dst, protocol: PROTOCOL.gre, payload: new Uint8Array(16) }),
  error: (from, to, quoted, type = 3, code = 4, quotedBytes = quoted.length) =>
    icmpError4(from, to, { type, code, quoted, quotedBytes }),
};

const V6: Family = {
  name: 'IPv6',
  db: 'fd00:10::13',
  web: 'fd00:10::11',
  out: '2001:db8:51::7',
  stranger: '2001:db8:51::66',
  router: '2001:db8:ffff::1',
  errors: [
    ['no route', 1, 0],
    ['port unreachable', 1, 4],
    ['packet too big', 2, 0],
    ['hop limit exceeded', 3, 0],
    ['reassembly time exceeded', 3, 1],
    ['unknown next header', 4, 1],
  ],
  others: [
    ['redirect', 137, 0, 'link-scope'],
    ['an error type nobody has assigned', 100, 0, 'ingress-rules'],
  ],
  ipHeaderBytes: 40,
  tcp: (src, dst, o) => tcp6(src, dst, o),
  udp: (src, dst, o) => udp6(src, dst, o),
  echo: (src, dst, id, isReply = false) => icmp6(src, dst, { type: isReply ? 129 : 128, id }),
  gre: (src, dst) => ipv6({ src, dst, nextHeader: PROTOCOL.gre, payload: new Uint8Array(16) }),
  error: (from, to, quoted, type = 2, code = 0, quotedBytes = quoted.length) =>
    icmpError6(from, to, { type, code, quoted, quotedBytes }),
};

const EVERYWHERE = ['0.0.0.0/0', '::/0'];
const rules = (...texts: readonly string[]): string[] =>
  texts.flatMap((text) => EVERYWHERE.map((cidr) => `${text} ${cidr}`));

const world = (): Rig =>
  new Rig({
    groups: {
      db: {
        ingress: rules('tcp 5432 from', 'udp 53 from', '47 from'),
        egress: rules('tcp 443 to', 'udp 123 to', 'icmp 8/-1 to', 'icmpv6 128/-1 to'),
      },
      web: { ingress: rules('tcp 80 from') },
    },
    interfaces: {
      db: { addresses: [V4.db, V6.db], groups: ['db'] },
      web: { addresses: [V4.web, V6.web], groups: ['web'] },
    },
  });

for (const f of [V4, V6]) {
  describe(f.name, () => {
    /** db has opened a connection to `out`; what it sent. */
    const opened = (rig: Rig): Uint8Array => {
      const sent = f.tcp(f.db, f.out, {
        srcPort: 40000,
        dstPort: 443,
        flags: 'S',
        seq: 1000,
        payload: 'x'.repeat(40),
      });
      assert.equal(rig.send('db', sent), 'uplink');
      return sent;
    };

    test('every error about what an instance sent comes in, from wherever on the way', () => {
      for (const [name, type, code] of f.errors) {
        const rig = world();
        const early = f.tcp(f.db, f.out, { srcPort: 40000, dstPort: 443, flags: 'S', seq: 1000 });
        assert.equal(
          rig.send('uplink', f.error(f.router, f.db, early, type, code)),
          'ingress-rules',
          `${name}: nothing was sent yet`,
        );
        const sent = opened(rig);
        assert.equal(
          rig.send('uplink', f.error(f.router, f.db, sent, type, code)),
          'db',
          `${name}, from a router`,
        );
        assert.equal(
          rig.send('uplink', f.error(f.out, f.db, sent, type, code)),
          'db',
          `${name}, from the other end`,
        );
      }
    });

    test('other messages that quote are judged by the rules', () => {
      const rig = world();
      const sent = opened(rig);
      for (const [name, type, code, fate] of f.others)
        assert.equal(rig.send('uplink', f.error(f.router, f.db, sent, type, code)), fate, name);
    });

    test('and about what an instance received, out', () => {
      const rig = world();
      const asked = f.udp(f.out, f.db, { srcPort: 5000, dstPort: 53 });
      assert.equal(rig.send('db', f.error(f.db, f.out, asked)), 'egress-rules', 'nothing came yet');
      assert.equal(rig.send('uplink', asked), 'db');
      for (const [name, type, code] of f.errors)
        assert.equal(rig.send('db', f.error(f.db, f.out, asked, type, code)), 'uplink', name);
    });

    test('between two instances, through both gates', () => {
      const rig = world();
      const asked = f.udp(f.web, f.db, { srcPort: 5000, dstPort: 53 });
      assert.equal(rig.send('web', asked), 'db');
      assert.equal(rig.send('db', f.error(f.db, f.web, asked)), 'web');
      const other = f.udp(f.web, f.db, { srcPort: 5001, dstPort: 53 });
      assert.equal(rig.send('db', f.error(f.db, f.web, other)), 'egress-rules');
    });

    test('about UDP, ICMP and other protocols as about TCP', () => {
      const rig = world();
      const about: [string, Uint8Array][] = [
        ['UDP', f.udp(f.db, f.out, { srcPort: 40000, dstPort: 123 })],
        ['an echo request', f.echo(f.db, f.out, 7)],
      ];
      for (const [name, sent] of about) {
        assert.equal(
          rig.send('uplink', f.error(f.router, f.db, sent)),
          'ingress-rules',
          `${name}, not sent`,
        );
        assert.equal(rig.send('db', sent), 'uplink');
        assert.equal(rig.send('uplink', f.error(f.router, f.db, sent)), 'db', name);
      }
      const gre = f.gre(f.out, f.db);
      assert.equal(rig.send('db', f.error(f.db, f.out, gre)), 'egress-rules');
      assert.equal(rig.send('uplink', gre), 'db');
      assert.equal(rig.send('db', f.error(f.db, f.out, gre)), 'uplink');
      assert.equal(
        rig.send('uplink', f.error(f.router, f.db, f.gre(f.db, f.out))),
        'db',
        'about the answer to it',
      );
      assert.equal(
        rig.send('uplink', f.error(f.router, f.db, f.echo(f.db, f.out, 8))),
        'ingress-rules',
        'another identifier',
      );
      assert.equal(
        rig.send('uplink', f.error(f.router, f.db, f.echo(f.db, f.out, 7, true))),
        'ingress-rules',
        'a reply to what nobody asked',
      );
    });

    test('a quotation cut short is enough with the ports, and not without', () => {
      const rig = world();
      const sent = opened(rig);
      const enough = f.ipHeaderBytes + 8;
      for (let bytes = 0; bytes < sent.length; bytes++) {
        const fate = bytes < enough ? 'ingress-rules' : 'db';
        assert.equal(
          rig.send('uplink', f.error(f.router, f.db, sent, undefined, undefined, bytes)),
          fate,
          `${bytes} bytes`,
        );
      }
    });

    test('what a quotation says of its lengths counts for nothing, the ports do', () => {
      const lengthAt = f === V4 ? 2 : 4;
      const udpLengthAt = f.ipHeaderBytes + 4;
      const rig = world();
      const asked = f.udp(f.db, f.out, { srcPort: 40001, dstPort: 123, payload: 'x'.repeat(100) });
      const sent = opened(rig);
      assert.equal(rig.send('db', asked), 'uplink');
      for (const whole of [sent, asked])
        for (const quoted of [whole, whole.subarray(0, f.ipHeaderBytes + 8)])
          for (const length of [0, 1, 7, 8, 28, quoted.length, 0x1c00, 0xffff]) {
            const about = f.error(f.router, f.db, with16(quoted, lengthAt, length));
            assert.equal(rig.send('uplink', about), 'db', `length ${length}`);
          }
      for (const length of [0, 7, 8, 9000]) {
        const about = f.error(f.router, f.db, with16(asked, udpLengthAt, length));
        assert.equal(rig.send('uplink', about), 'db', `UDP length ${length}`);
      }
      // Without the ports there is nothing to go by, whatever is declared.
      for (const length of [0, 28, 9000]) {
        const short = with16(asked.subarray(0, f.ipHeaderBytes + 7), lengthAt, length);
        assert.equal(rig.send('uplink', f.error(f.router, f.db, short)), 'ingress-rules');
      }
      const other = f.udp(f.db, f.out, { srcPort: 40002, dstPort: 123 });
      const about = f.error(f.router, f.db, with16(other, lengthAt, 0));
      assert.equal(rig.send('uplink', about), 'ingress-rules', 'of no flow');
    });

    test('a quotation that lies is nothing to go by', () => {
      const rig = world();
      const sent = opened(rig);
      const quoting = (quoted: Uint8Array, to = f.db): string =>
        rig.send('uplink', f.error(f.router, to, quoted));
      const like = (o: Partial<TcpOptions>, from = f.db, to = f.out): Uint8Array =>
        f.tcp(from, to, { srcPort: 40000, dstPort: 443, flags: 'S', seq: 1000, ...o });
      assert.equal(quoting(sent), 'db');
      assert.equal(quoting(like({ srcPort: 40001 })), 'ingress-rules', 'another port here');
      assert.equal(quoting(like({ dstPort: 444 })), 'ingress-rules', 'another port there');
      assert.equal(quoting(like({}, f.db, f.stranger)), 'ingress-rules', 'another address there');
      assert.equal(
        quoting(f.udp(f.db, f.out, { srcPort: 40000, dstPort: 443 })),
        'ingress-rules',
        'another protocol',
      );
      assert.equal(
        quoting(like({ srcPort: 443, dstPort: 40000 }, f.out, f.db)),
        'ingress-rules',
        'what the other end would send: the wrong direction',
      );
      assert.equal(
        quoting(like({}, f.web, f.out)),
        'ingress-rules',
        'what another instance would have sent',
      );
      assert.equal(quoting(f.error(f.db, f.out, sent)), 'ingress-rules', 'an error about an error');
      assert.equal(
        quoting(f.error(f.router, f.db, sent)),
        'ingress-rules',
        'an error inside an error, both to db',
      );
      assert.equal(
        quoting(concat(new Uint8Array([0x50]), sent.subarray(1))),
        'ingress-rules',
        'no version',
      );
      assert.equal(quoting(new Uint8Array(0)), 'ingress-rules', 'nothing at all');
      const otherFamily = f === V4 ? V6 : V4;
      const foreign = otherFamily.tcp(otherFamily.db, otherFamily.out, {
        srcPort: 40000,
        dstPort: 443,
        flags: 'S',
      });
      assert.equal(rig.send('db', foreign), 'uplink');
      assert.equal(
        quoting(foreign),
        'ingress-rules',
        'a packet of the other family, though its flow is known',
      );
    });

    test('an error goes to the sender of what it quotes, and to nobody else', () => {
      const rig = world();
      const sent = opened(rig);
      assert.equal(
        rig.send('uplink', f.error(f.router, f.web, sent)),
        'ingress-rules',
        'to another instance',
      );
      assert.equal(
        rig.send('web', f.error(f.web, f.db, sent)),
        'db',
        'from another instance, to the sender',
      );
      const answer = f.tcp(f.out, f.db, {
        srcPort: 443,
        dstPort: 40000,
        flags: 'SA',
        seq: 5,
        ack: 1041,
      });
      assert.equal(rig.send('uplink', answer), 'db');
      assert.equal(
        rig.send('db', f.error(f.db, f.out, answer)),
        'uplink',
        'about the answer, to who sent it',
      );
      assert.equal(
        rig.send('db', f.error(f.db, f.stranger, answer)),
        'egress-rules',
        'and to nobody else',
      );
    });

    test('forged senders are found out before anybody asks what they quote', () => {
      const rig = world();
      const sent = opened(rig);
      assert.equal(rig.send('uplink', f.error(f.web, f.db, sent)), 'uplink-spoof');
      assert.equal(rig.send('web', f.error(f.router, f.db, sent)), 'source-check');
    });

    test('the quoted sequence number has to be one that was sent, and not long ago', () => {
      const rig = world();
      const talk = new Conversation(f.db, 40000, f.out, 443);
      const send = (packet: Uint8Array, from: 'db' | 'uplink'): string => rig.send(from, packet);
      send(talk.syn(), 'db');
      send(talk.synAck(), 'uplink');
      send(talk.ack('client'), 'db');
      const inFlight = talk.data('client', 1000);
      assert.equal(send(inFlight, 'db'), 'uplink');
      const about = (seq: number): string => {
        const quoted = f.tcp(f.db, f.out, {
          srcPort: 40000,
          dstPort: 443,
          flags: 'A',
          seq: seq >>> 0,
        });
        return rig.send('uplink', f.error(f.router, f.db, quoted));
      };
      const { next } = talk.client;
      assert.equal(rig.send('uplink', f.error(f.router, f.db, inFlight)), 'db');
      assert.equal(about(next), 'db', 'a bare ACK after all that was sent');
      assert.equal(about(next + 1), 'ingress-rules', 'not sent yet');
      assert.equal(about(next - 1000), 'db');
      assert.equal(about(next - 1000 - 66_000), 'db', 'some room for errors that come late');
      assert.equal(about(next - 1000 - 66_001), 'ingress-rules', 'of another time');
      assert.equal(about(next + 0x80000000), 'ingress-rules');
      const received = talk.data('server', 10);
      assert.equal(send(received, 'uplink'), 'db');
      assert.equal(rig.send('db', f.error(f.db, f.out, received)), 'uplink');
      const forged = f.tcp(f.out, f.db, { srcPort: 443, dstPort: 40000, flags: 'A', seq: 12345 });
      assert.equal(
        rig.send('db', f.error(f.db, f.out, forged)),
        'egress-rules',
        'the other way, too',
      );
    });

    test('whose windows are not judged, of theirs no sequence number is asked', () => {
      const rig = world();
      const midstream = f.tcp(f.db, f.out, { srcPort: 40000, dstPort: 443, flags: 'A', seq: 1000 });
      assert.equal(rig.send('db', midstream), 'uplink');
      const quoted = f.tcp(f.db, f.out, {
        srcPort: 40000,
        dstPort: 443,
        flags: 'A',
        seq: 0x7fff0000,
      });
      assert.equal(rig.send('uplink', f.error(f.router, f.db, quoted)), 'db');
    });

    test('an error changes no state and keeps nothing alive', () => {
      const rig = world();
      const sent = f.udp(f.db, f.out, { srcPort: 40000, dstPort: 123 });
      assert.equal(rig.send('db', sent, 0), 'uplink');
      const error = f.error(f.router, f.db, sent);
      assert.equal(rig.send('uplink', error, 29_000), 'db');
      assert.deepEqual(rig.states, ['udp']);
      assert.equal(
        rig.send('uplink', error, 30_001),
        'ingress-rules',
        '30 s after what was sent, not after the error',
      );
    });

    test('about an untracked flow it passes as well, to and from the instance itself', () => {
      const rig = world();
      const answer = f.tcp(f.web, f.out, { srcPort: 80, dstPort: 40000, flags: 'SA' });
      assert.equal(rig.send('web', answer), 'uplink');
      assert.deepEqual(rig.states, []);
      assert.equal(rig.send('uplink', f.error(f.router, f.web, answer)), 'web');
      const other = f.tcp(f.web, f.out, { srcPort: 81, dstPort: 40000, flags: 'SA' });
      assert.equal(
        rig.send('uplink', f.error(f.router, f.web, other)),
        'ingress-rules',
        'a port without a rule',
      );
    });

    test('an error in fragments is one error: its first fragment has to hold what it quotes', () => {
      const rig = world();
      const sent = opened(rig);
      const message = f.error(f.router, f.db, sent).subarray(f.ipHeaderBytes);
      const cut = (bytes: number, id: number): Uint8Array[] => {
        const ends = { src: f.router, dst: f.db };
        return f === V4
          ? fragments4(ipv4({ ...ends, id, protocol: PROTOCOL.icmp, payload: message }), bytes)
          : fragments6({ ...ends, nextHeader: PROTOCOL.icmp6, payload: message }, bytes, id);
      };
      const fates = (pieces: readonly Uint8Array[]): string[] =>
        pieces.map((piece) => rig.send('uplink', piece));
      assert.deepEqual(fates(cut(64, 1)), ['db', 'db']);
      assert.deepEqual(fates(cut(24, 2)).slice(0, 2), ['ingress-rules', 'fragment-refused']);
    });
  });
}

test('IPv6: extension headers in the quotation are walked; those cut short, or refused, lead nowhere', () => {
  const f = V6;
  const rig = world();
  const segment = tcp(f.db, f.out, {
    srcPort: 40000,
    dstPort: 443,
    flags: 'S',
    seq: 1000,
    payload: 'data',
  });
  const chained = ipv6({
    ...{ src: f.db, dst: f.out, nextHeader: PROTOCOL.tcp, payload: segment },
    extensionHeaders: [
      hopByHop(),
      destinationOptions(),
      routing(2),
      fragment6({}),
      destinationOptions(),
    ],
  });
  assert.equal(rig.send('db', chained), 'uplink');
  const about = (quoted: Uint8Array, bytes?: number): string =>
    rig.send('uplink', f.error(f.router, f.db, quoted, 2, 0, bytes));
  assert.equal(about(chained), 'db');
  const headers = 40 + 5 * 8;
  assert.equal(about(chained, headers + 8), 'db', 'cut behind the ports');
  assert.equal(about(chained, headers + 7), 'ingress-rules');
  for (const bytes of [40, 47, 48, 60, headers])
    assert.equal(about(chained, bytes), 'ingress-rules', `${bytes} bytes`);
  const withOptions = (
    extensionHeaders: Parameters<typeof ipv6>[0]['extensionHeaders'],
  ): Uint8Array =>
    ipv6({
      ...{ src: f.db, dst: f.out, nextHeader: PROTOCOL.tcp, payload: segment },
      extensionHeaders: extensionHeaders!,
    });
  assert.equal(about(withOptions([routing(0)])), 'ingress-rules', 'routing type 0');
  assert.equal(
    about(withOptions([destinationOptions(), hopByHop()])),
    'ingress-rules',
    'out of order',
  );
  assert.equal(
    about(withOptions([fragment6({ more: true })])),
    'db',
    'a first fragment has the ports',
  );
  assert.equal(
    about(withOptions([fragment6({ offset: 8 })])),
    'ingress-rules',
    'a later one has not',
  );
});

test('IPv4: options in the quotation are stepped over, its length fields count for nothing', () => {
  const f = V4;
  const rig = world();
  const segment = tcp(f.db, f.out, {
    srcPort: 40000,
    dstPort: 443,
    flags: 'S',
    seq: 1000,
    payload: 'data',
  });
  const like = { src: f.db, dst: f.out, protocol: PROTOCOL.tcp, payload: segment };
  const options = ipv4({ ...like, options: Uint8Array.of(0x94, 4, 0, 0) });
  assert.equal(rig.send('db', options), 'uplink');
  const about = (quoted: Uint8Array): string => rig.send('uplink', f.error(f.router, f.db, quoted));
  assert.equal(about(options), 'db');
  assert.equal(about(options.subarray(0, 32)), 'db', 'header, options and 8 bytes');
  assert.equal(about(options.subarray(0, 31)), 'ingress-rules');
  assert.equal(
    about(with16(options, 2, 9000)),
    'db',
    'a declared length beyond the quotation is what cutting leaves',
  );
  for (const length of [0, 24, 32, options.length - 24])
    assert.equal(about(with16(options, 2, length)), 'db', `a declared length of ${length}`);
  assert.equal(about(ipv4({ ...like, headerLength: 4 })), 'ingress-rules', 'a header of 16 bytes');
  assert.equal(
    about(ipv4({ ...like, headerLength: 15 })),
    'ingress-rules',
    'a header that swallows the ports',
  );
  assert.equal(about(ipv4({ ...like, mf: true })), 'db', 'a first fragment has the ports');
  assert.equal(about(ipv4({ ...like, fragmentOffset: 8 })), 'ingress-rules', 'a later one has not');
});

test('an instance speaks of nothing that was sent to somebody else, even where flows are untracked', () => {
  const rig = new Rig({
    groups: { g: { ingress: ['all from 0.0.0.0/0'], egress: ['tcp 443 to 0.0.0.0/0'] } },
    interfaces: {
      a: { addresses: [V4.db], groups: ['g'] },
      b: { addresses: [V4.web], groups: ['g'] },
    },
  });
  const toB = tcp4(V4.out, V4.web, { srcPort: 443, dstPort: 40000, flags: 'A' });
  const about = (from: string): Uint8Array =>
    icmpError4(from, V4.out, { type: 3, code: 4, quoted: toB });
  assert.equal(rig.send('b', about(V4.web)), 'uplink');
  assert.equal(rig.send('a', about(V4.db)), 'egress-rules');
});

test('UDP datagrams in fragments: the error about the first one passes', () => {
  const rig = world();
  const payload = udp(V4.db, V4.out, { srcPort: 40000, dstPort: 123, payload: 'x'.repeat(100) });
  const [first, later] = fragments4(
    ipv4({ src: V4.db, dst: V4.out, protocol: PROTOCOL.udp, payload }),
    64,
  );
  assert.equal(rig.send('db', first), 'uplink');
  assert.equal(
    rig.send('uplink', V4.error(V4.router, V4.db, first, 11, 1)),
    'db',
    'reassembly time exceeded quotes it',
  );
  assert.equal(rig.send('uplink', V4.error(V4.router, V4.db, later, 11, 1)), 'ingress-rules');
});

test('a quoted later fragment is of no flow, not even of one without ports', () => {
  const rig = world();
  const gre = (fragmentOffset: number): Uint8Array =>
    ipv4({
      ...{ src: V4.db, dst: V4.out, protocol: PROTOCOL.gre },
      ...{ fragmentOffset, payload: new Uint8Array(16) },
    });
  assert.equal(rig.send('uplink', V4.gre(V4.out, V4.db)), 'db');
  assert.equal(rig.send('uplink', V4.error(V4.router, V4.db, gre(0))), 'db');
  assert.equal(rig.send('uplink', V4.error(V4.router, V4.db, gre(16))), 'ingress-rules');
});

test('an error of one family speaks of no flow of the other, though the addresses be the same bits', () => {
  const same = 'a00:d::';
  const rig = new Rig({
    groups: { db: { egress: ['udp 123 to ::/0'] } },
    interfaces: { db: { addresses: [V4.db, same], groups: ['db'] } },
  });
  const sent = udp6(same, V6.out, { srcPort: 40000, dstPort: 123 });
  assert.equal(rig.send('db', sent), 'uplink');
  assert.equal(rig.send('uplink', V6.error(V6.router, same, sent)), 'db');
  assert.equal(rig.send('uplink', V4.error(V4.router, V4.db, sent)), 'ingress-rules');
});
