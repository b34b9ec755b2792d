/** This file chooses whether the kernel forwards packets of flows that are decided, and says why not. */
import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import type { Dataplane } from '../dataplane/dataplane.ts';
import { FastPath } from '../dataplane/fast-path.ts';
import { GAUGE_OFFLOADED } from '../engine/counters.ts';
import type { Device } from '../ports/device.ts';
import type { Native } from '../ports/native.ts';
import type { FastPathPart } from '../ports/native-offload.ts';
import type { OffloadStatus } from '../queries/status-view.ts';

export interface FastPathChoice {
  readonly path: FastPath | undefined;
  /** Why there is none; undefined: there is one, or it is off. */
  readonly why: string | undefined;
}

export const NO_FAST_PATH: FastPathChoice = { path: undefined, why: undefined };

/**
 * @param timeScale how many times faster than real time flows age: the kernel's programs know real time alone
 * @throws Error with `offload: on`, where there can be none
 */
export function chooseFastPath(
  { offload, conntrack }: Config,
  timeScale: number,
  native: Native,
  log: Logger,
): FastPathChoice {
  if (offload === 'off') return NO_FAST_PATH;
  let why: string;
  try {
    if (timeScale === 1)
      return { path: FastPath.open(native, conntrack.maxOffloaded), why: undefined };
    why = 'time runs faster in this lab, and the kernel knows real time alone';
  } catch (error) {
    why = error instanceof Error ? error.message : String(error);
  }
  if (offload === 'on') throw new Error(`offload: on, and there is no fast path: ${why}`);
  log.warn({ why }, 'all packets go by the daemon: there is no fast path');
  return { path: undefined, why };
}

/** Has a device take part in the fast path. If it can't, its packets go by the daemon, and the log says so. */
export function joinFastPath(path: FastPath | undefined, device: Device, log: Logger): void {
  try {
    path?.attach(device);
  } catch (error) {
    log.warn({ err: error, device: device.spec.name }, 'packets of a device go by the daemon');
  }
}

/** Says for `sgctl interfaces` what part an open device has. */
export function describePart({ path, why }: FastPathChoice, device: Device): FastPathPart {
  return path?.partOf(device) ?? { forwards: 'none', why: why ?? 'it is off' };
}

/** Says for `sgctl status` how the fast path is. */
export function describeFastPath(
  { path, why }: FastPathChoice,
  { offload: mode }: Config,
  dataplane: Dataplane,
): OffloadStatus {
  const flows = dataplane.readGauge(GAUGE_OFFLOADED);
  const interfaces = path?.deviceCount ?? 0;
  return { mode, interfaces, flows, ...(why === undefined ? {} : { why }) };
}
