/** `--address NAME=ADDRESS`: an address for an interface whose own the input does not know. */
import { InvalidArgumentError, type Command } from 'commander';
import { parseAddress } from '../addr/address.ts';

export function addAddressOption(command: Command): Command {
  return command.option(
    '--address <name=address>',
    'an address for an interface of a plan, in place of a made-up one; may be given more than once',
    collect,
  );
}

function collect(
  text: string,
  before: ReadonlyMap<string, string> | undefined,
): ReadonlyMap<string, string> {
  // The name of an interface of a plan may have the sign in it.
  const equals = text.lastIndexOf('=');
  const [name, address] = [text.slice(0, equals), text.slice(equals + 1)];
  if (equals < 1 || !parseAddress(address).ok)
    throw new InvalidArgumentError('Write NAME=ADDRESS, as aws_instance.web=10.0.0.10.');
  if (before?.has(name) === true) throw new InvalidArgumentError(`${name} is given twice.`);
  return new Map([...(before ?? []), [name, address]]);
}
