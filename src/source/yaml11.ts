/**
 * Reads plain scalars as YAML 1.1, which AWS CloudFormation uses: `yes` is true, `0443` is 291.
 *
 * The forms are those of SnakeYAML's resolver without timestamps, which CloudFormation does not accept: `2012-10-17`
 * stays a text. `y` and `n` stay texts too. So does `08`, which has no octal digits, and `1e3`, which has no point.
 * Decimal fractions keep their text.
 *
 * Sources: YAML 1.1, "Language-Independent Types"; AWS CloudFormation User Guide, "CloudFormation template formats":
 * YAML 1.1 without binary, omap, pairs, set, timestamp, aliases and hash merges; cloudformation-coverage-roadmap
 * issue 745: `012345670123` arrives as 1402433619.
 */
export interface PlainValue {
  readonly value: string | number | boolean | null;
  /** The value as text. */
  readonly text: string;
}

const TRUE = /^(?:yes|Yes|YES|true|True|TRUE|on|On|ON)$/;
const FALSE = /^(?:no|No|NO|false|False|FALSE|off|Off|OFF)$/;
const NULL = /^(?:~|null|Null|NULL|)$/;
const BINARY = /^([-+]?)0b([0-1_]+)$/;
const OCTAL = /^([-+]?)0([0-7_]+)$/;
const HEX = /^([-+]?)0x([0-9a-fA-F_]+)$/;
const DECIMAL = /^([-+]?)(0|[1-9][0-9_]*)$/;
/** Most numbers are ports. These are exact as numbers, and the same as text. */
const SMALL = /^(?:0|[1-9][0-9]{0,14})$/;
const SEXAGESIMAL = /^([-+]?)([1-9][0-9_]*(?::[0-5]?[0-9])+)$/;
/** What a number or one of the words can start with. Most texts start otherwise. */
const STARTS = /^(?:[-+.0-9~]|[yYnNtTfFoO])/;
const NUMBER_STARTS = /^[-+.0-9]/;
const FLOAT = /^[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+][0-9]+)?$/;

/** The value of an unquoted scalar that has no tag. */
export function readPlain11(source: string): PlainValue {
  if (source !== '' && !STARTS.test(source)) return { value: source, text: source };
  if (TRUE.test(source)) return { value: true, text: 'true' };
  if (FALSE.test(source)) return { value: false, text: 'false' };
  if (NULL.test(source)) return { value: null, text: '' };
  if (!NUMBER_STARTS.test(source)) return { value: source, text: source };
  if (SMALL.test(source)) return { value: Number(source), text: source };
  const integer = readInteger(source);
  if (integer !== undefined) return { value: Number(integer), text: String(integer) };
  if (FLOAT.test(source)) {
    const text = source.replaceAll('_', '');
    return { value: Number(text), text };
  }
  return { value: source, text: source };
}

function readInteger(source: string): bigint | undefined {
  for (const [pattern, prefix] of [
    [BINARY, '0b'],
    [OCTAL, '0o'],
    [HEX, '0x'],
    [DECIMAL, ''],
  ] as const) {
    const match = pattern.exec(source);
    const digits = match?.[2].replaceAll('_', '');
    if (match !== null && digits) return sign(match[1], BigInt(`${prefix}${digits}`));
  }
  const parts = SEXAGESIMAL.exec(source);
  if (parts === null) return undefined;
  const sum = parts[2]
    .replaceAll('_', '')
    .split(':')
    .reduce((total, part) => total * 60n + BigInt(part), 0n);
  return sign(parts[1], sum);
}

function sign(text: string, value: bigint): bigint {
  return text === '-' ? -value : value;
}
