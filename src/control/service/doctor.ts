/**
 * `secgroupd doctor`: whether this machine has what the daemon needs, what is missing, how to mend it.
 *
 * It changes nothing that lasts: to learn the offloads it opens a TUN of its own for a moment. It may run
 * beside a daemon; devices which that one holds are told as a warning.
 */
import { existsSync } from 'node:fs';
import { loadNative, type Native } from '../../ports/native.ts';
import { CONFIG_DEFAULT, type DoctorArguments } from './arguments.ts';
import { checkConfiguration } from './doctor-config.ts';
import { checkMachine } from './doctor-machine.ts';
import { findService } from './doctor-service.ts';
import { systemReader, type Check, type CheckStatus, type Reader } from './doctor-check.ts';

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
  return [addon, ...checkMachine({ native, reader, ...needs }), ...checks];
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

/** A table for people: what is wrong comes with what it means and how to mend it. */
export function formatChecks(checks: readonly Check[]): string {
  const indent = ' '.repeat(STATUS_TEXTS.ok.length + NAME_WIDTH + 2);
  const lines = checks.flatMap(({ name, status, found, means, mend }) => [
    `${STATUS_TEXTS[status]} ${name.padEnd(NAME_WIDTH)} ${found}`,
    ...(means === undefined ? [] : [`${indent}means: ${means}`]),
    ...(mend === undefined ? [] : [`${indent}mend:  ${mend}`]),
  ]);
  const count = (wanted: CheckStatus): number =>
    checks.filter(({ status }) => status === wanted).length;
  lines.push(`${count('ok')} ok, ${count('warn')} warnings, ${count('fail')} failed`);
  return `${lines.join('\n')}\n`;
}

/** @returns the exit code: 0 if the daemon can run, 1 if not */
export function runDoctor(args: DoctorArguments): number {
  const reader = systemReader();
  const checks = examine(args, { ...reader, service: findService(reader) });
  process.stdout.write(
    args.json ? `${JSON.stringify({ checks }, undefined, 2)}\n` : formatChecks(checks),
  );
  return checks.some(({ status }) => status === 'fail') ? 1 : 0;
}
