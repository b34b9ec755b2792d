/** Opens a view of the fast path's tables, which each thread that uses them needs of its own. */
import type { NativeOffload, OpenedOffload } from '../ports/native-offload.ts';
import {
  BUCKET_SLOTS,
  CONTROL_WORDS,
  FLOW_WORDS,
  PORT_WORDS,
  tableSizes,
  type OffloadTables,
} from './layout.ts';

/** Descriptors of the tables. */
export type OffloadFds = Pick<OpenedOffload, 'control' | 'ports' | 'buckets' | 'flows' | 'changed'>;

/**
 * @param capacity flows that the tables were opened for
 * @param ports number of ports
 */
export function openTables(
  native: NativeOffload,
  fds: OffloadFds,
  capacity: number,
  ports: number,
): OffloadTables {
  const { buckets, marks } = tableSizes(capacity);
  return {
    control: openControl(native, fds.control),
    ports: mapWords(native, fds.ports, ports * PORT_WORDS),
    buckets: mapWords(native, fds.buckets, buckets * BUCKET_SLOTS),
    flows: mapWords(native, fds.flows, capacity * FLOW_WORDS),
    changed: new Uint8Array(native.mapMemory(fds.changed, marks), 0, marks),
  };
}

/** The control alone, for who writes what the loops start with. */
export function openControl(native: NativeOffload, fd: number): Int32Array {
  return mapWords(native, fd, CONTROL_WORDS);
}

function mapWords(native: NativeOffload, fd: number, count: number): Int32Array {
  return new Int32Array(native.mapMemory(fd, 4 * count), 0, count);
}
