/** These checks of `secgroupd doctor` apply if a configuration wants several packet loops. */
import type { Native, NativeError, OpenOptions } from '../ports/native.ts';
import type { Check } from './doctor-check.ts';
import { count } from '../source/count.ts';

/** Two queues are enough to try: if the kernel accepts two, it accepts any number. */
const QUEUES_TRIED = 2;

/** Compares workers with cores. @param cores that this process may use */
export function checkCores(workers: number, cores: number): Check {
  const found = `${count(workers, 'packet loop')}, ${count(cores, 'core')}`;
  if (workers <= cores) return { name: 'workers', status: 'ok', found };
  return {
    name: 'workers',
    status: 'warn',
    found,
    means:
      'loops take turns on a core: more of them make nothing faster, and packets wait for longer',
    mend: `set workers to ${cores} or less`,
  };
}

/** Checks whether the kernel accepts the program that steers packets to loops, on a TUN that is closed at once. */
export function checkSteering(native: Native): Check {
  const name = `sgdw${process.pid}`;
  const options: OpenOptions = { kind: 'tun', name, persist: false, queues: QUEUES_TRIED };
  const fds: number[] = [];
  try {
    while (fds.length < QUEUES_TRIED) fds.push(native.openDevice(options).fd);
    native.steerQueues(fds[0], options, QUEUES_TRIED);
    return { name: 'steering', status: 'ok', found: 'the kernel shares packets out among loops' };
  } catch (error) {
    const { message, code } = error as NativeError;
    return {
      name: 'steering',
      status: 'fail',
      found: message,
      means: 'the daemon does not start with more than one packet loop',
      mend:
        code === 'EPERM' || code === 'EACCES'
          ? 'run as root, or give the service CAP_BPF and bpf(2) (example: workers.conf); or set workers to 1'
          : 'use Linux 4.16 or newer with BPF, or set workers to 1',
    };
  } finally {
    for (const fd of fds) native.closeFd(fd);
  }
}
