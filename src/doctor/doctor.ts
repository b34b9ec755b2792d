/**
 * `secgroupd doctor` checks whether this machine has what the daemon needs, and says what is missing and how to fix
 * it.
 *
 * It changes nothing that lasts. To find the offloads it opens a TUN of its own for a moment. It may run beside a
 * daemon. Devices that the daemon holds appear as a warning.
 */
import { existsSync } from 'node:fs';
import { loadNative, type Native } from '../ports/native.ts';
import { CONFIG_DEFAULT, type DoctorArguments } from '../service/arguments.ts';
import { checkConfiguration } from './doctor-config.ts';
import { checkDoors } from './doctor-doors.ts';
import { checkMachine } from './doctor-machine.ts';
import { checkRootless } from './doctor-rootless.ts';
import { checkStore } from './doctor-store.ts';
import { findService } from './doctor-service.ts';
import { systemReader, type Check, type CheckStatus, type Reader } from './doctor-check.ts';
import { count } from '../source/count.ts';

const STATUS_TEXTS: Readonly<Record<CheckStatus, string>> = {
  ok: 'OK  ',
  warn: 'WARN',
  fail: 'FAIL',
};
const NAME_WIDTH = 14;

/** Runs all checks. */
export function examine(args: DoctorArguments, reader: Reader): Check[] {
  const [native, addon] = checkAddon();
  const file = args.config ?? (existsSync(CONFIG_DEFAULT) ? CONFIG_DEFAULT : undefined);
  const config = checkConfiguration({ ...args, file, native, reader });
  const { checks, ...needs } = config;
  return [addon, ...checkMachine({ native, reader, ...needs }), checkRootless(), ...checks];
}

function checkAddon(): [Native | undefined, Check] {
  try {
    return [loadNative(), { name: 'addon', status: 'ok', found: 'the native addon loads' }];
  } catch (error) {
    return [
      undefined,
      {
        name: 'addon',
        status: 'fail',
        found: error instanceof Error ? error.message : String(error),
        means: 'no device can be opened',
        mend: 'install the package for this machine again, or build it: scripts/build',
      },
    ];
  }
}

/** Formats a table for people. Each problem has its consequence and its fix. */
export function formatChecks(checks: readonly Check[]): string {
  const indent = ' '.repeat(STATUS_TEXTS.ok.length + NAME_WIDTH + 2);
  const lines = checks.flatMap(({ name, status, found, means, mend }) => [
    `${STATUS_TEXTS[status]} ${name.padEnd(NAME_WIDTH)} ${found}`,
    ...(means === undefined ? [] : [`${indent}means: ${means}`]),
    ...(mend === undefined ? [] : [`${indent}mend:  ${mend}`]),
  ]);
  const found = (wanted: CheckStatus): number =>
    checks.filter(({ status }) => status === wanted).length;
  lines.push(`${found('ok')} ok, ${count(found('warn'), 'warning')}, ${found('fail')} failed`);
  return `${lines.join('\n')}\n`;
}

/** Runs the doctor and prints the result. @returns the exit code: 0 if the daemon can run, 1 if not */
export async function runDoctor(args: DoctorArguments): Promise<number> {
  const reader = systemReader();
  const checks = [
    ...examine(args, { ...reader, service: findService(reader) }),
    ...(await checkDoors()),
    ...(await checkStore()),
  ];
  process.stdout.write(
    args.json ? `${JSON.stringify({ checks }, undefined, 2)}\n` : formatChecks(checks),
  );
  return checks.some(({ status }) => status === 'fail') ? 1 : 0;
}
