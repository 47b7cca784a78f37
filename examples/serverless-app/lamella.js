// Serverless 3 has version 2 of AWS's SDK, which does not look at AWS_ENDPOINT_URL.
"use strict";

module.exports = class Lamella {
  constructor(serverless) {
    const endpoint = process.env.AWS_ENDPOINT_URL;
    if (endpoint) {
      serverless.getProvider("aws").sdk.config.update({ endpoint, s3ForcePathStyle: true });
    }
  }
};
