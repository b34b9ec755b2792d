/** What the predicates of differences.ts ask about a sequence: what a packet is, and what came before it. */
import type { Judged } from './compare.ts';
import { fragmentOf } from './datagrams.ts';
import { distance, segmentOf, type Segment } from './segment.ts';

export function hasBeenIn(judged: readonly Judged[], at: number, state: string): boolean {
  return judged.slice(0, at + 1).some(({ before }) => before.includes(state));
}

export function isSyn({ flags }: Segment): boolean {
  return flags.includes('S') && !flags.includes('A');
}

export function isSynAck({ flags }: Segment): boolean {
  return flags.includes('S') && flags.includes('A');
}

/** Neither SYN nor RST. */
export function isPlain({ flags }: Segment): boolean {
  return !/[SR]/.test(flags);
}

/** A SYN has opened the connection anew before packet `at`. */
export function wasReopened(judged: readonly Judged[], at: number): boolean {
  return judged
    .slice(0, at)
    .some(({ tcp, after }) => tcp?.hasEnded === true && after.includes('syn-sent'));
}

/** Whether we passed such a segment before packet `at`. */
export function hasPassed(
  judged: readonly Judged[],
  at: number,
  isSuch: (segment: Segment, judged: Judged, index: number) => boolean,
): boolean {
  return judged.slice(0, at).some((one, i) => {
    const segment = segmentOf(one.sent);
    return one.ours === 'passed' && segment !== undefined && isSuch(segment, one, i);
  });
}

/** Whether packet `at` is an RST-ACK that we took for the answer to a SYN over an open connection. */
export function endsByAnswerToSyn(judged: readonly Judged[], at: number): boolean {
  const { before, after } = judged[at];
  return (
    before.includes('established') &&
    after.includes('closed') &&
    hasPassed(judged, at, (earlier, one) => isSyn(earlier) && one.before.includes('established'))
  );
}

/** Whether the kernel let a packet move the windows of a connection that had ended. */
export function hasRefusedClosed(judged: readonly Judged[], at: number): boolean {
  return judged
    .slice(0, at)
    .some(({ ours, kernelPasses }) => ours === 'tcp-closed' && kernelPasses);
}

/** Whether we refused an answer to the SYN for its numbers. */
export function hasRefusedAnswer(judged: readonly Judged[], at: number): boolean {
  return judged
    .slice(0, at)
    .some(({ ours, tcp }) => ours === 'tcp-window' && tcp?.state === 'syn-sent');
}

/** Whether we refused a SYN or SYN-ACK of a connection that was open or about to be. */
export function hasRefusedHandshake(judged: readonly Judged[], at: number): boolean {
  return judged
    .slice(0, at)
    .some(
      ({ sent, ours, tcp }) =>
        ours === 'tcp-state' &&
        /^(syn-received|established)$/.test(tcp?.state ?? '') &&
        segmentOf(sent)?.flags.includes('S') === true,
    );
}

/** Whether the answer to a SYN lies within the window that stood in the SYN. */
export function fitsRoomOfSyn(segment: Segment, judged: readonly Judged[], at: number): boolean {
  const ofHandshake = judged
    .slice(0, at)
    .filter(({ ours }) => ours === 'passed')
    .map(({ sent }) => ({ from: sent.from, segment: segmentOf(sent) }))
    .filter(({ segment }) => segment?.flags.includes('S') === true);
  const here = judged[at].sent.from;
  const syn = ofHandshake.findLast(({ from }) => from !== here)?.segment;
  return ofHandshake.some(
    ({ from, segment: answer }) =>
      from === here &&
      answer !== undefined &&
      syn !== undefined &&
      distance(segment.end, answer.end) > 0 &&
      distance(segment.seq, answer.end) <= Math.max(1, syn.window),
  );
}

/** Whether it needs that window: what the opener has offered since does not reach as far. */
export function usesRoomOfSyn(segment: Segment, judged: readonly Judged[], at: number): boolean {
  if (segment.flags.includes('S') || !fitsRoomOfSyn(segment, judged, at)) return false;
  const view = judged[at].tcp;
  if (view === undefined) return false;
  return !judged.slice(0, at).some(({ sent, ours }) => {
    const earlier = segmentOf(sent);
    const isOffer =
      earlier !== undefined &&
      ours === 'passed' &&
      sent.from === view.openedFrom &&
      /A/.test(earlier.flags) &&
      !earlier.flags.includes('S');
    return (
      isOffer &&
      distance(segment.seq, (earlier.ack + (earlier.window << view.opener.scale)) | 0) <= 0
    );
  });
}

/** Protocol of what the packet carries, in fragments or not. */
export function protocolOf({ packet, whole = packet }: Judged['sent']): number {
  return whole[whole[0] >>> 4 === 4 ? 9 : 6];
}

/** The same, and that of the packet that an ICMP error quotes. */
export function protocolsOf(sent: Judged['sent']): number[] {
  const own = protocolOf(sent);
  const { protocol } = quotationOf(sent) ?? {};
  return protocol === undefined ? [own] : [own, protocol];
}

/** The packet that an ICMP message quotes; undefined for any other, or if the quotation stops within its headers. */
function quotationOf({
  packet,
}: Judged['sent']): { readonly protocol: number; readonly transport: Uint8Array } | undefined {
  const is4 = packet[0] >>> 4 === 4;
  const [icmp, headerBytes] = is4 ? [1, 20] : [58, 40];
  const isQuoting = is4 ? [3, 4, 5, 11, 12] : [1, 2, 3, 4];
  if (packet[is4 ? 9 : 6] !== icmp || !isQuoting.includes(packet[headerBytes])) return undefined;
  const quoted = packet.subarray(headerBytes + 8);
  if (quoted.length < headerBytes) return undefined;
  const protocol = quoted[is4 ? 9 : 6];
  // A fragment header in between.
  if (!is4 && protocol === 44)
    return { protocol: quoted[headerBytes], transport: quoted.subarray(headerBytes + 8) };
  return { protocol, transport: quoted.subarray(headerBytes) };
}

/** Fragment `at` and those with the same identification before it. */
export function fragmentsUpTo(judged: readonly Judged[], at: number): Judged[] {
  const datagram = fragmentOf(judged[at].sent.packet)?.datagram;
  if (datagram === undefined) return [];
  return judged
    .slice(0, at + 1)
    .filter(({ sent }) => fragmentOf(sent.packet)?.datagram === datagram);
}

/** The sequence number that an ICMP error about TCP quotes; undefined if the packet is none. */
export function quotedSequence(sent: Judged['sent']): number | undefined {
  const { protocol, transport } = quotationOf(sent) ?? {};
  if (protocol !== 6 || transport === undefined || transport.length < 8) return undefined;
  return new DataView(transport.buffer, transport.byteOffset, transport.byteLength).getInt32(4);
}

/** The code of the ICMP message that an ICMP error quotes; undefined if the packet is none. */
export function quotedIcmpCode(sent: Judged['sent']): number | undefined {
  const { protocol, transport } = quotationOf(sent) ?? {};
  return protocol === 1 || protocol === 58 ? transport?.at(1) : undefined;
}

/** Bytes of the transport header that an ICMP error quotes; undefined if the packet is none. */
export function quotedBytes(sent: Judged['sent']): number | undefined {
  return quotationOf(sent)?.transport.length;
}

/**
 * Whether we passed a packet that is further behind than the largest window its receiver had offered: we keep that
 * window in units of its scale, and a SYN's, which is in bytes, rounded up to them.
 */
export function fellBehindExactly(judged: readonly Judged[], at: number): boolean {
  return hasPassed(judged, at, (segment, { sent, tcp }) => {
    if (tcp === undefined || tcp.liberal || !isPlain(segment) || sent.whole !== undefined)
      return false;
    const [sender, receiver] =
      sent.from === tcp.openedFrom ? [tcp.opener, tcp.other] : [tcp.other, tcp.opener];
    const behind = distance(sender.end, segment.end);
    return behind > receiver.maxWindow && behind < receiver.maxWindow + (1 << receiver.scale);
  });
}
