/** `secgroupd store backup|restore|check|copy`: what is done, in words or as JSON. */
import { resolve } from 'node:path';
import type { StoreArguments } from '../service/arguments.ts';
import { count } from '../source/count.ts';
import { copyStore } from '../estate/copy-store.ts';
import { backUpStore } from '../store/backup.ts';
import { checkStore, type StoreReport } from '../store/check.ts';
import { isEtcd } from '../store/place.ts';
import { restoreStore } from '../store/restore.ts';
import { StoreError } from '../store/store.ts';

/** What a command has to say. */
interface Answer {
  readonly isOk: boolean;
  readonly lines: readonly string[];
  readonly json: object;
}

/** Does what the command line asks for. @returns the exit code */
export async function runStoreCommand(args: StoreArguments): Promise<number> {
  try {
    const { isOk, lines, json } = await answer(args);
    process.stdout.write(`${args.json ? JSON.stringify(json, null, 2) : lines.join('\n')}\n`);
    return isOk ? 0 : 1;
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    const { fault, message } = error;
    if (args.json)
      process.stdout.write(`${JSON.stringify({ error: { fault, message } }, null, 2)}\n`);
    else process.stderr.write(`${message}\n`);
    return 1;
  }
}

async function answer(args: StoreArguments): Promise<Answer> {
  if (args.action === 'copy') return copy(args);
  const { store } = args;
  if (isEtcd(store)) throw useEtcdctl(store, args.action);
  switch (args.action) {
    case 'backup': {
      const report = backUpStore(store, resolve(args.backup));
      const lines = [`${report.file}: a backup, and sound`, `    ${contentOf(report)}`];
      return { isOk: true, lines, json: report };
    }
    case 'restore': {
      const restored = await restoreStore(resolve(args.backup), store);
      const { rows, file, revision, kept } = restored;
      const lines = [
        `${file}: restored, ${rowsOf(rows)}`,
        `    it goes on at revision ${revision}`,
      ];
      if (kept !== undefined) lines.push(`    what was there before: ${kept}`);
      return { isOk: true, lines, json: restored };
    }
    case 'check':
      return answerOf(checkStore(store));
  }
}

async function copy({ from, to }: StoreArguments & { readonly action: 'copy' }): Promise<Answer> {
  const copied = await copyStore(from, to);
  const { rows, revision, leftOut } = copied;
  const lines = [
    `${to}: copied, ${rowsOf(rows)}`,
    `    from ${from} at revision ${revision}`,
    `    left out: ${rowsOf(leftOut)} that hosts say of themselves, and say anew`,
  ];
  return { isOk: true, lines, json: copied };
}

/** What etcd's own program does better: it has the whole of it, and knows what is sound. */
const ETCDCTL: Readonly<Record<Exclude<StoreArguments['action'], 'copy'>, string>> = {
  backup: "back it up with 'etcdctl snapshot save FILE'",
  restore:
    "restore a backup of 'etcdctl snapshot save' with 'etcdctl snapshot restore', with another --initial-cluster-token",
  check:
    "check it with 'etcdctl endpoint health --cluster' and 'etcdctl endpoint hashkv --cluster'",
};

function useEtcdctl(store: string, action: keyof typeof ETCDCTL): StoreError {
  const message = `the store ${store} is in etcd, which has programs of its own for that: ${ETCDCTL[action]}`;
  return new StoreError('failed', message);
}

function answerOf(report: StoreReport): Answer {
  const { file, problems, formerRows, compactedRevision } = report;
  const lines =
    problems.length === 0
      ? [
          `${file}: sound`,
          `    ${contentOf(report)}`,
          `    history since revision ${compactedRevision}, ${rowsOf(formerRows)}`,
        ]
      : [
          ...problems.map(({ code, message }) => `${file}: ${message} [${code}]`),
          "    bring back a backup with 'secgroupd store restore'; this one is kept",
        ];
  return { isOk: problems.length === 0, lines, json: report };
}

function contentOf({ format, revision, rows, bytes }: StoreReport): string {
  const size = `${bytes.toLocaleString('en-US')} bytes`;
  return `format ${format}, revision ${revision}, ${rowsOf(rows)}, ${size}`;
}

function rowsOf(rows: number): string {
  return count(rows, 'row', rows.toLocaleString('en-US'));
}
