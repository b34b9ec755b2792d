/** This check of `secgroupd doctor` applies if a configuration wants the kernel's fast path (docs/offload.md). */
import type { Config } from '../config/config.ts';
import { FastPath } from '../dataplane/fast-path.ts';
import type { Native } from '../ports/native.ts';
import type { Check } from './doctor-check.ts';

const FLOWS_TRIED = 1024;

/** Loads the programs into the kernel, and takes them away again. */
export function checkOffload({ offload }: Config, native: Native | undefined): Check[] {
  if (offload === 'off' || native === undefined) return [];
  try {
    FastPath.open(native, FLOWS_TRIED).close();
    return [{ name: 'fast path', status: 'ok', found: 'the kernel takes its programs' }];
  } catch (error) {
    return [
      {
        name: 'fast path',
        status: offload === 'on' ? 'fail' : 'warn',
        found: error instanceof Error ? error.message : String(error),
        means:
          offload === 'on'
            ? 'the daemon does not start'
            : 'the daemon runs, and all packets go by it',
        mend: 'install libbpf1, give the service CAP_BPF and bpf(2) (example: workers.conf), or set offload to off',
      },
    ];
  }
}
