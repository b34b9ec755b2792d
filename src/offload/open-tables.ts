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
  const words = (fd: number, count: number): Int32Array =>
    new Int32Array(native.mapMemory(fd, 4 * count), 0, count);
  return {
    control: words(fds.control, CONTROL_WORDS),
    ports: words(fds.ports, ports * PORT_WORDS),
    buckets: words(fds.buckets, buckets * BUCKET_SLOTS),
    flows: words(fds.flows, capacity * FLOW_WORDS),
    changed: new Uint8Array(native.mapMemory(fds.changed, marks), 0, marks),
  };
}
