// Builds messages with @device-management-toolkit/wsman-messages, unmodified from npm: one call as JSON in each line of standard
// input, one message as JSON in each line of standard output.
"use strict";
const readline = require("node:readline");
const { WSManMessageCreator, BaseActions } = require("@device-management-toolkit/wsman-messages/WSMan.js");

const base = process.argv[2];
const creator = new WSManMessageCreator(base);
const common = creator.createCommonBody;

const calls = {
  enumerate: (name) => creator.createXml(creator.createHeader(BaseActions.ENUMERATE, name), common.Enumerate()),
  pull: (name, context) => creator.createXml(creator.createHeader(BaseActions.PULL, name), common.Pull(context)),
  get: (name, selector) => creator.createXml(creator.createHeader(BaseActions.GET, name, selector), common.Get()),
  put: (name, selector, values) =>
    creator.createXml(creator.createHeader(BaseActions.PUT, name, selector), common.CreateOrPut(name, values)),
  invoke: (name, selector, method, values) =>
    creator.createXml(
      creator.createHeader(`${base}${name}/${method}`, name, selector),
      creator.createBody(`${method}_INPUT`, name, values),
    ),
  requestStateChange: (name, selector, state) =>
    creator.createXml(
      creator.createHeader(`${base}${name}/RequestStateChange`, name, selector),
      common.RequestStateChange(base + name, state),
    ),
};

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const [call, ...parameters] = JSON.parse(line);
  process.stdout.write(JSON.stringify(calls[call](...parameters)) + "\n");
});
