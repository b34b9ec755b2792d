/**
 * Why a command in the docs is not run by commands.test.ts: the reasons that ` norun reason=KEY` may give, all of them.
 *
 * Each is a promise that something else holds the command up, or that nothing can. A new key needs a sentence that is true
 * of every block that names it.
 */
export const NOT_RUN: Readonly<Record<string, string>> = {
  'own-test':
    'another test of this repository runs it: quickstart, the build, the tests themselves, the packages',
  systemd:
    'needs a machine booted by systemd; test/systemd/ runs the service in a container with one',
  network: 'fetches from a registry or from another host, which tests do not',
  guest:
    "needs a virtual machine or a container engine; a namespace takes the guest's place in what is run",
  example: 'has names that are of your machine: users, hosts, the place of your files',
  endless:
    'runs until somebody stops it, or is a screen to look at; test/netns/tools.test.ts drives it',
  slow: 'measures for minutes; a shorter form is run by its own tests',
};
