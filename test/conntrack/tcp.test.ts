/** What a packet may do to a TCP connection, where the differential test against nf_conntrack found us wrong. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Conversation, type SideOptions } from '../engine/conversation.ts';
import { Rig } from '../engine/rig.ts';
import { fragments4, tcp4 } from '../packets/build.ts';

const MODEL = {
  groups: { web: { ingress: ['tcp 443 from 198.51.100.0/24'], egress: [] } },
  interfaces: { web: { addresses: ['10.0.0.1'], groups: ['web'] } },
};

class Track {
  readonly rig: Rig;
  readonly talk: Conversation;

  constructor(
    options: {
      readonly client?: SideOptions;
      readonly server?: SideOptions;
      readonly midstream?: boolean;
    } = {},
  ) {
    const { midstream = false, ...sides } = options;
    this.rig = new Rig(MODEL, { acceptsMidstream: midstream });
    this.talk = new Conversation('198.51.100.7', 40_000, '10.0.0.1', 443, sides);
  }

  client(packet: Uint8Array): string {
    return this.rig.send('uplink', packet);
  }

  server(packet: Uint8Array): string {
    return this.rig.send('web', packet);
  }

  open(): this {
    assert.equal(this.client(this.talk.syn()), 'web');
    assert.equal(this.server(this.talk.synAck()), 'uplink');
    assert.equal(this.client(this.talk.ack('client')), 'web');
    return this;
  }
}

for (const next of [0x7fffffff, 0x80000000, 0xffffffff, 0]) {
  test(`an RST closes a connection whose server began at ${next}`, () => {
    const track = new Track({ server: { next } }).open();
    assert.equal(track.server(track.talk.rst('server')), 'uplink');
    assert.deepEqual(track.rig.states, ['closed']);
  });
}

test('URG goes with data and SYN, with no SYN-ACK and no RST', () => {
  const track = new Track();
  const verdicts = ['SU', 'SAU', 'RU', 'RAU'].map((flags) =>
    track.client(track.talk.send('client', { flags, seq: 1000 })),
  );
  assert.deepEqual(verdicts, ['web', 'tcp-flags', 'tcp-flags', 'tcp-flags']);
});

test('TCP Fast Open: the answer to a SYN with data may fill the window of the SYN before the handshake is done', () => {
  const track = new Track({ client: { window: 4000, scale: 7 } });
  assert.equal(
    track.client(track.talk.send('client', { flags: 'S', windowScale: 7, payload: 'GET' })),
    'web',
  );
  assert.equal(track.server(track.talk.synAck()), 'uplink');
  for (let i = 0; i < 4; i++) assert.equal(track.server(track.talk.data('server', 1000)), 'uplink');
  assert.equal(
    track.server(
      track.talk.send('server', { flags: 'A', seq: track.talk.server.next + 1, payload: 'x' }),
    ),
    'tcp-window',
  );
});

test('where one side does not scale, the window of the SYN counts in bytes', () => {
  const track = new Track({ client: { window: 4000, scale: 7 } });
  const { talk } = track;
  track.client(talk.syn());
  track.server(talk.synAck());
  const first = talk.server.next;
  for (let i = 0; i < 2; i++) assert.equal(track.server(talk.data('server', 1000)), 'uplink');
  const again = { flags: 'PA', seq: first, payload: 'x'.repeat(1000) };
  assert.equal(track.server(talk.send('server', again)), 'uplink');
});

test('a challenge answers a SYN where we forgot the connection: bare it passes, with data not, and its RST ends the attempt', () => {
  const track = new Track();
  const { talk } = track;
  track.client(talk.syn());
  const challenge = { flags: 'A', seq: 5_000_000, ack: 7_777_777 };
  assert.equal(track.server(talk.send('server', { ...challenge, payload: 'x' })), 'tcp-state');
  assert.equal(track.server(talk.send('server', challenge)), 'uplink');
  assert.deepEqual(track.rig.states, ['syn-sent']);
  assert.equal(track.client(talk.send('client', { flags: 'R', seq: 7_777_778 })), 'tcp-window');
  assert.equal(track.client(talk.send('client', { flags: 'R', seq: 7_777_777 })), 'web');
  assert.deepEqual(track.rig.states, ['closed']);
});

test('the opener’s RST before any answer fits its SYN and acknowledges nothing', () => {
  const track = new Track();
  const { talk } = track;
  track.client(talk.syn());
  assert.equal(track.client(talk.send('client', { flags: 'RA', seq: 1001, ack: 5 })), 'tcp-window');
  assert.equal(track.client(talk.send('client', { flags: 'R', seq: 1002 })), 'tcp-window');
  assert.equal(track.client(talk.send('client', { flags: 'R', seq: 0x80000000 })), 'tcp-window');
  assert.deepEqual(track.rig.states, ['syn-sent']);
  assert.equal(track.client(talk.send('client', { flags: 'R', seq: 1001 })), 'web');
  assert.deepEqual(track.rig.states, ['closed']);
});

test('a SYN-ACK that acknowledges more than was sent drops; one of an older SYN passes and changes nothing', () => {
  const track = new Track();
  const { talk } = track;
  track.client(talk.syn());
  assert.equal(track.server(talk.send('server', { flags: 'SA', seq: 1, ack: 1002 })), 'tcp-window');
  assert.equal(track.server(talk.send('server', { flags: 'SA', seq: 1, ack: 1000 })), 'uplink');
  assert.deepEqual(track.rig.states, ['syn-sent']);
});

test('once a connection is open, the opener sends no SYN-ACK and the other side no SYN', () => {
  const track = new Track().open();
  const { client, server } = track.talk;
  assert.equal(
    track.client(track.talk.send('client', { flags: 'SA', seq: client.next })),
    'tcp-state',
  );
  assert.equal(
    track.server(track.talk.send('server', { flags: 'S', seq: server.next })),
    'tcp-state',
  );
});

test('the opener’s SYN-ACK passes while the handshake is on, with its numbers, and in no other state', () => {
  const verdictsOf = (track: Track): string[] => {
    const { server } = track.talk;
    // Right; without an acknowledgment of the SYN; of what was not sent; with another number of its own.
    const packets = [
      { seq: 1000, ack: server.next },
      { seq: 1000, ack: 900_000 },
      { seq: 1000, ack: (server.next + 1) >>> 0 },
      { seq: 1001, ack: server.next },
    ];
    return packets.map((numbers) =>
      track.client(track.talk.send('client', { flags: 'SA', ...numbers })),
    );
  };
  const none = (reason: string): string[] => [reason, reason, reason, reason];
  const during = ['web', 'tcp-state', 'tcp-state', 'tcp-state'];
  const unanswered = new Track();
  unanswered.client(unanswered.talk.syn());
  assert.deepEqual(verdictsOf(unanswered), none('tcp-state'));
  assert.deepEqual(unanswered.rig.states, ['syn-sent']);

  const answered = new Track();
  answered.client(answered.talk.syn());
  answered.server(answered.talk.synAck());
  assert.deepEqual(verdictsOf(answered), during);
  // Behind data that came before the handshake was done, also if an older segment came last.
  answered.server(answered.talk.data('server', 500));
  const older = { flags: 'A', seq: answered.talk.server.next - 1 };
  assert.equal(answered.server(answered.talk.send('server', older)), 'uplink');
  assert.deepEqual(verdictsOf(answered), during);
  assert.deepEqual(answered.rig.states, ['syn-received']);
  assert.equal(answered.client(answered.talk.ack('client')), 'web');
  assert.deepEqual(verdictsOf(answered), none('tcp-state'));
  assert.deepEqual(answered.rig.states, ['established']);

  const closing = new Track().open();
  closing.client(closing.talk.fin('client'));
  assert.deepEqual(verdictsOf(closing), none('tcp-state'));
  closing.server(closing.talk.fin('server'));
  assert.deepEqual(closing.rig.states, ['closing']);
  assert.deepEqual(verdictsOf(closing), none('tcp-state'));

  const closed = new Track().open();
  closed.server(closed.talk.rst('server'));
  assert.deepEqual(closed.rig.states, ['closed']);
  assert.deepEqual(verdictsOf(closed), none('tcp-closed'));
  const unknown = new Track();
  assert.deepEqual(verdictsOf(unknown), none('tcp-midstream'));
});

test('a simultaneous open: SYN, SYN, then SYN-ACKs with the right numbers, and nothing else before them', () => {
  const track = new Track();
  const { talk } = track;
  track.client(talk.syn());
  assert.equal(track.server(talk.send('server', { flags: 'S' })), 'uplink');
  assert.deepEqual(track.rig.states, ['syn-received']);
  assert.equal(track.client(talk.send('client', { flags: 'A' })), 'tcp-state');
  assert.equal(track.server(talk.send('server', { flags: 'S', seq: 1 })), 'tcp-state');
  assert.equal(track.client(talk.send('client', { flags: 'SA', seq: 1001 })), 'tcp-state');
  assert.equal(track.client(talk.send('client', { flags: 'SA', seq: 1000, ack: 1 })), 'tcp-state');
  assert.equal(track.client(talk.send('client', { flags: 'SA', seq: 1000 })), 'web');
  assert.equal(track.server(talk.send('server', { flags: 'SA', seq: 900_000 })), 'uplink');
  // Lost behind us, sent again.
  assert.equal(track.client(talk.send('client', { flags: 'SA', seq: 1000 })), 'web');
  assert.equal(track.server(talk.send('server', { flags: 'S', seq: 900_000 })), 'tcp-state');
  assert.equal(track.client(talk.ack('client')), 'web');
  assert.deepEqual(track.rig.states, ['established']);
});

test('an RST that acknowledges what was never sent, or long ago, drops and closes nothing', () => {
  const track = new Track().open();
  const { talk } = track;
  assert.equal(track.server(talk.rst('server', { ack: talk.client.next + 1 })), 'tcp-window');
  assert.equal(
    track.server(talk.rst('server', { ack: (talk.client.next - 70_000) >>> 0 })),
    'tcp-window',
  );
  assert.deepEqual(track.rig.states, ['established']);
  // What some set there who have no acknowledgment to give.
  assert.equal(track.server(talk.rst('server', { ack: 0 })), 'uplink');
  assert.deepEqual(track.rig.states, ['closed']);
});

test('after a reset an RST passes only where the connection ended; after a refusal none does', () => {
  const reset = new Track().open();
  assert.equal(reset.server(reset.talk.rst('server')), 'uplink');
  assert.equal(reset.server(reset.talk.rst('server')), 'uplink');
  assert.equal(reset.server(reset.talk.rst('server', { seq: 1 })), 'tcp-window');
  const refused = new Track();
  refused.client(refused.talk.syn());
  assert.equal(refused.server(refused.talk.rst('server', { seq: 0 })), 'uplink');
  assert.equal(refused.server(refused.talk.rst('server', { seq: 0 })), 'tcp-closed');
});

test('picked up in mid-stream, a connection ends by an exact RST alone', () => {
  const track = new Track({ midstream: true });
  const { talk } = track;
  assert.equal(track.client(talk.data('client')), 'web');
  assert.equal(track.server(talk.data('server')), 'uplink');
  assert.equal(track.server(talk.rst('server', { seq: 123_456_789 })), 'uplink');
  assert.deepEqual(track.rig.states, ['established']);
  assert.equal(track.server(talk.rst('server')), 'uplink');
  assert.deepEqual(track.rig.states, ['closed']);
});

test('where data reached beyond the room, a number half the sequence space away does not fit', () => {
  const track = new Track({ client: { window: 100 }, server: { next: 0x7fffff00 } }).open();
  const { talk } = track;
  assert.equal(track.server(talk.data('server', 500)), 'uplink');
  const far = { flags: 'A', seq: (talk.server.next + 0x7fffff00) >>> 0, payload: 'x' };
  assert.equal(track.server(talk.send('server', far)), 'tcp-window');
  assert.equal(track.client(talk.ack('client')), 'web');
});

test('a segment in fragments is acknowledged as far as the room it had, and no further', () => {
  const track = new Track({ server: { window: 500 } }).open();
  const [first, last] = fragments4(track.talk.data('client', 100), 40);
  assert.deepEqual(
    [first, last].map((one) => track.client(one)),
    ['web', 'web'],
  );
  // 500 is what the SYN-ACK offered.
  const ack = (bytes: number): string =>
    track.server(track.talk.send('server', { flags: 'A', ack: 1001 + bytes }));
  assert.deepEqual([100, 500, 501].map(ack), ['uplink', 'uplink', 'tcp-window']);
});

test('a retransmission in fragments is not old for its first one being so', () => {
  const track = new Track({ server: { window: 8 } }).open();
  // Fills all the SYN-ACK had room for, which is as far back as a packet may lie from now on.
  const whole = track.talk.send('client', { flags: 'A', seq: 901, payload: 'x'.repeat(100) });
  assert.deepEqual(
    fragments4(whole, 40).map((one) => track.client(one)),
    ['web', 'web', 'web'],
  );
});

test('a challenge that goes on in another fragment is not bare', () => {
  const track = new Track();
  assert.equal(track.client(track.talk.syn()), 'web');
  const challenge = tcp4('10.0.0.1', '198.51.100.7', {
    srcPort: 443,
    dstPort: 40_000,
    flags: 'A',
    ack: 5000,
    timestamps: [1, 1],
    payload: 'hello',
  });
  // The first fragment is all header.
  const [first] = fragments4(challenge, 32);
  assert.equal(track.server(first), 'tcp-state');
});
