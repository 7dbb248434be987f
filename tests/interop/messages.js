// Builds messages with @device-management-toolkit/wsman-messages, unmodified from npm: one call as JSON in each line of standard
// input, one message as JSON in each line of standard output.
"use strict";
const readline = require("node:readline");
const { WSManMessageCreator, BaseActions } = require("@device-management-toolkit/wsman-messages/WSMan.js");

const base = process.argv[2];
const creator = new WSManMessageCreator(base);
const common = creator.createCommonBody;

// The package has no call for WS-Eventing, nor one for Release. Its headers and its general body fit all the same, once the base of
// URIs is that of the specification.
const EVENTING = "http://schemas.xmlsoap.org/ws/2004/08/";
const ENUMERATION = "http://schemas.xmlsoap.org/ws/2004/09/";
const eventing = new WSManMessageCreator(EVENTING);
const enumeration = new WSManMessageCreator(ENUMERATION);

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
  subscribe: (mode, address, dialect, query) =>
    creator.createXml(
      creator.createHeader(`${EVENTING}eventing/Subscribe`, "*"),
      eventing.createBody("Subscribe", "eventing", {
        Delivery: [{ $: { Mode: mode }, _: address ? eventing.OBJtoXML({ "h:NotifyTo": { "a:Address": address } }) : " " }],
        Filter: [{ $: { Dialect: dialect }, _: query }],
      }),
    ),
  release: (context) =>
    creator.createXml(
      creator.createHeader(`${ENUMERATION}enumeration/Release`, "*"),
      enumeration.createBody("Release", "enumeration", { EnumerationContext: context }),
    ),
};

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const [call, ...parameters] = JSON.parse(line);
  process.stdout.write(JSON.stringify(calls[call](...parameters)) + "\n");
});
