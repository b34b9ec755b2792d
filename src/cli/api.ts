/** `sgctl api`: the server of EC2's API on this host, and the keys that may call it. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import { POLICIES, type Policy } from '../api/action.ts';
import {
  ACCOUNT_ID,
  changeKeys,
  createKey,
  KEY_NAME,
  KEYS_FILE_DEFAULT,
  readKeys,
  type ApiKey,
} from '../api/keys.ts';
import { DEFAULT_ACCOUNT_ID } from '../cloudformation/account.ts';
import { addApiUpCommands } from './api-up.ts';
import { exitCodeHelp } from './exit-codes.ts';
import { EXIT_FAILED, formatTable, printError } from './output.ts';
import { printJson } from './traffic-text.ts';

interface KeyOptions {
  readonly keys: string;
  readonly json?: true;
}

interface CreateOptions extends KeyOptions {
  readonly policy: Policy;
  readonly account: string;
}

export function addApiCommands(program: Command): void {
  const api = program
    .command('api')
    .summary("the server of EC2's API: start it, end it, its keys")
    .description("Cares for secgroup-api, the server of EC2's API.")
    .addHelpText(
      'after',
      `
Examples:
  eval "$(sgctl api up)"
  sgctl api key create alice --policy write`,
    );
  addApiUpCommands(api);
  const key = api
    .command('key')
    .summary('keys that may sign requests')
    .description('Makes, lists and deletes the keys that may sign requests to secgroup-api.')
    .addHelpText('after', '\nExample:\n  sgctl api key list');
  addCreateCommand(key);
  addListCommand(key);
  addDeleteCommand(key);
}

function addKeyOptions(command: Command, json: string): Command {
  return command
    .option('--keys <file>', 'the file with the keys', KEYS_FILE_DEFAULT)
    .option('--json', json);
}

function addCreateCommand(parent: Command): void {
  const command = parent
    .command('create')
    .summary('make a key')
    .description(
      "Makes a key and prints it, the secret for the only time, as lines that a shell can evaluate. The server takes it from then on. The file with the keys gets mode 0600 and belongs to the folder's owner.",
    )
    .argument('<name>', 'who it is for: it stands in the access log and in the ARN', parseName)
    .addOption(new Option('--policy <policy>', 'what it may do').choices(POLICIES).default('read'))
    .addOption(
      new Option('--account <id>', 'account that it belongs to')
        .default(DEFAULT_ACCOUNT_ID)
        .argParser(parseAccount),
    )
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl api key create')}

Examples:
  sgctl api key create alice --policy write
  eval "$(sgctl api key create alice)"`,
    );
  addKeyOptions(command, 'print the key as JSON').action((name: string, options: CreateOptions) => {
    const made = createKey(name, options.account, options.policy);
    changeKeys(options.keys, (keys) => [...keys, made]);
    if (options.json === true) {
      printJson(made);
      return;
    }
    console.error('The secret is shown this once:');
    console.log(`export AWS_ACCESS_KEY_ID=${made.accessKeyId}`);
    console.log(`export AWS_SECRET_ACCESS_KEY=${made.secretAccessKey}`);
  });
}

function addListCommand(parent: Command): void {
  const command = parent
    .command('list')
    .summary('list the keys, without their secrets')
    .description('Lists the keys that may sign requests, without their secrets.')
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl api key list')}

Example:
  sgctl api key list`,
    );
  addKeyOptions(command, 'print them as JSON').action((options: KeyOptions) => {
    const keys = readKeys(options.keys).map(withoutSecrets);
    if (options.json === true) printJson(keys);
    else if (keys.length === 0) console.log('There are none.');
    else
      console.log(
        formatTable(
          ['key', 'name', 'account', 'policy'],
          keys.map((key) => [key.accessKeyId, key.name, key.accountId, key.policy]),
        ),
      );
  });
}

function addDeleteCommand(parent: Command): void {
  const command = parent
    .command('delete')
    .summary('delete a key')
    .description('Deletes a key. The server refuses requests that it signs from then on.')
    .argument('<key>', 'its id, as sgctl api key list has it')
    .addHelpText(
      'after',
      `
${exitCodeHelp('sgctl api key delete')}

Example:
  sgctl api key delete AKIAZPYN5FZ7N6TZIEJJ`,
    );
  addKeyOptions(command, 'print what was deleted as JSON').action(
    (id: string, options: KeyOptions) => {
      let deleted: ApiKey | undefined;
      changeKeys(options.keys, (keys) => {
        deleted = keys.find(({ accessKeyId }) => accessKeyId === id);
        return keys.filter((key) => key !== deleted);
      });
      if (deleted === undefined) {
        printError(new Error(`there is no key ${id}; sgctl api key list shows which there are`));
        process.exitCode = EXIT_FAILED;
      } else if (options.json === true) printJson(withoutSecrets(deleted));
      else console.log(`Deleted ${deleted.accessKeyId} of ${deleted.name}.`);
    },
  );
}

function withoutSecrets({ accessKeyId, name, accountId, policy }: ApiKey) {
  return { accessKeyId, name, accountId, policy };
}

function parseName(text: string): string {
  if (!KEY_NAME.test(text))
    throw new InvalidArgumentError('It is not 1 to 64 of A-Z a-z 0-9 + = , . @ _ -');
  return text;
}

function parseAccount(text: string): string {
  if (!ACCOUNT_ID.test(text)) throw new InvalidArgumentError('It has not 12 digits.');
  return text;
}
