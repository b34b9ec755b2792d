/**
 * Problems as a SARIF log, which code-scanning services take.
 * Source: OASIS "Static Analysis Results Interchange Format (SARIF) Version 2.1.0"; section numbers below.
 */
import { isAbsolute, resolve, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { version } from '../service/version.ts';
import { ExcerptReader } from '../source/excerpt.ts';
import type { Position, Problem, Severity } from '../source/problem.ts';
import { ruleTexts } from './sarif-rules.ts';

/** 3.27.10 */
type Level = 'error' | 'warning' | 'note';

const LEVEL_OF: Readonly<Record<Severity, Level>> = {
  error: 'error',
  warning: 'warning',
  notice: 'note',
};

/**
 * The log, one run; rules are the codes that occur. Relative paths count from `cwd`, which is taken for the root of the
 * sources.
 */
export function makeSarif(
  problems: readonly Problem[],
  cwd: string,
  command = 'sgctl check',
): object {
  const codes = [...new Set(problems.map(({ code }) => code))].sort();
  const excerpts = new ExcerptReader();
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: command,
            semanticVersion: version,
            rules: codes.map((code) => makeRule(code, problems)),
          },
        },
        // Positions count UTF-16 units (3.14.17).
        columnKind: 'utf16CodeUnits',
        invocations: [{ executionSuccessful: true }],
        results: problems.map((problem) => makeResult(problem, codes, cwd, excerpts)),
      },
    ],
  };
}

function makeRule(code: string, problems: readonly Problem[]): object {
  const { what, help } = ruleTexts(code);
  const first = problems.find((problem) => problem.code === code)!;
  return {
    id: code,
    shortDescription: { text: what },
    help: { text: help },
    defaultConfiguration: { level: LEVEL_OF[first.severity] },
  };
}

function makeResult(
  { severity, code, at, path, message, hint }: Problem,
  codes: readonly string[],
  cwd: string,
  excerpts: ExcerptReader,
): object {
  return {
    ruleId: code,
    ruleIndex: codes.indexOf(code),
    level: LEVEL_OF[severity],
    message: { text: hint === undefined ? message : `${message}\n${hint}` },
    ...(at === undefined ? {} : { locations: [makeLocation(at, path, cwd, excerpts)] }),
  };
}

function makeLocation(at: Position, path: string, cwd: string, excerpts: ExcerptReader): object {
  const units = excerpts.read(at)?.units;
  // A file that could not be opened has no line; a region must have one (3.30.5).
  const region =
    at.line < 1
      ? {}
      : {
          region: {
            startLine: at.line,
            startColumn: at.column,
            // One past the last unit (3.30.8).
            ...(units === undefined ? {} : { endColumn: at.column + units }),
          },
        };
  return {
    physicalLocation: { artifactLocation: makeArtifact(at.file, cwd), ...region },
    ...(path === '' ? {} : { logicalLocations: [{ fullyQualifiedName: path }] }),
  };
}

function makeArtifact(file: string, cwd: string): object {
  if (isAbsolute(file) || file.startsWith(`..${sep}`))
    return { uri: pathToFileURL(resolve(cwd, file)).href };
  const relative = file.replace(/^(?:\.\/)+/, '').split(sep);
  return { uri: relative.map(encodeURIComponent).join('/'), uriBaseId: '%SRCROOT%' };
}
