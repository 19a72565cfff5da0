//! From a type's fields to its implementations of `Module` and `Clone`.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::{Attribute, Data, DeriveInput, Error, Field, Fields, LitStr, Path, Result, parse_quote};

pub(crate) fn module(input: DeriveInput) -> Result<TokenStream> {
    let home = home(&input.attrs)?;
    let name = &input.ident;
    let (visits, clones) = match &input.data {
        Data::Struct(data) => {
            let arm = Arm::new(quote!(#name), &data.fields, false, &home)?;
            (vec![arm.visit], vec![arm.clone])
        }
        Data::Enum(data) => {
            let mut arms = (Vec::new(), Vec::new());
            for variant in &data.variants {
                let ident = &variant.ident;
                let arm = Arm::new(quote!(#name::#ident), &variant.fields, true, &home)?;
                arms.0.push(arm.visit);
                arms.1.push(arm.clone);
            }
            arms
        }
        Data::Union(_) => {
            return Err(Error::new_spanned(name, "Module cannot be derived for a union"));
        }
    };

    let mut generics = input.generics.clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(#home::Module));
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let kind = LitStr::new(&name.to_string(), name.span());
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics #home::Module for #name #type_generics #where_clause {
            #[allow(unused_variables)]
            fn visit(&self, visitor: &mut #home::Visitor<'_>) {
                match self { #(#visits)* }
            }
            #[allow(unused_variables)]
            fn clone_with(&self, ties: &mut #home::Ties) -> Self {
                match self { #(#clones)* }
            }
            fn kind(&self) -> &'static str {
                #kind
            }
        }

        #[automatically_derived]
        impl #impl_generics ::core::clone::Clone for #name #type_generics #where_clause {
            fn clone(&self) -> Self {
                #home::Module::clone_with(self, &mut #home::Ties::new())
            }
        }
    })
}

/// The match arms for a struct or one variant.
struct Arm {
    visit: TokenStream,
    clone: TokenStream,
}

impl Arm {
    fn new(
        constructor: TokenStream,
        fields: &Fields,
        is_variant: bool,
        home: &Path,
    ) -> Result<Self> {
        let transparent =
            is_variant && matches!(fields, Fields::Unnamed(f) if f.unnamed.len() == 1);
        let (mut members, mut bindings) = (Vec::new(), Vec::new());
        let (mut visits, mut clones) = (Vec::new(), Vec::new());
        for (index, field) in fields.iter().enumerate() {
            let (member, binding, name) = names(field, index);
            let options = FieldOptions::of(field)?;
            visits.push(match (options.skip, transparent) {
                (true, _) => quote!(),
                (false, true) => quote!(#home::Module::visit(#binding, visitor);),
                (false, false) => {
                    let name = options.rename.unwrap_or(name);
                    quote!(visitor.child(#name, #binding);)
                }
            });
            clones.push(if options.skip {
                quote!(::core::clone::Clone::clone(#binding))
            } else {
                quote!(#home::Module::clone_with(#binding, ties))
            });
            members.push(member);
            bindings.push(binding);
        }
        // Named, tuple and unit forms can all be written with braces.
        let pattern = quote!(#constructor { #(#members: #bindings),* });
        Ok(Arm {
            visit: quote!(#pattern => { #(#visits)* }),
            clone: quote!(#pattern => #constructor { #(#members: #clones),* },),
        })
    }
}

/// How a field is written in a pattern, what it is bound to, and what it is called.
fn names(field: &Field, index: usize) -> (TokenStream, Ident, String) {
    match &field.ident {
        // A raw identifier such as `r#type` is called `type`.
        Some(ident) => {
            let name = ident.to_string();
            let name = name.strip_prefix("r#").unwrap_or(&name).to_owned();
            (quote!(#ident), format_ident!("field_{index}"), name)
        }
        None => {
            let member = syn::Index::from(index);
            (member.to_token_stream(), format_ident!("field_{index}"), index.to_string())
        }
    }
}

#[derive(Default)]
struct FieldOptions {
    skip: bool,
    rename: Option<String>,
}

impl FieldOptions {
    fn of(field: &Field) -> Result<Self> {
        let mut options = FieldOptions::default();
        for attribute in field.attrs.iter().filter(|a| a.path().is_ident("module")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("skip") {
                    options.skip = true;
                    Ok(())
                } else if meta.path.is_ident("rename") {
                    options.rename = Some(meta.value()?.parse::<LitStr>()?.value());
                    Ok(())
                } else {
                    Err(meta.error("a field takes `skip` or `rename = \"...\"`"))
                }
            })?;
        }
        Ok(options)
    }
}

/// The crate that has the trait.
fn home(attributes: &[Attribute]) -> Result<Path> {
    let mut home: Path = parse_quote!(::ferrotape_nn);
    for attribute in attributes.iter().filter(|a| a.path().is_ident("module")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("crate") {
                home = meta.value()?.parse::<LitStr>()?.parse()?;
                Ok(())
            } else {
                Err(meta.error("a type takes `crate = \"...\"`"))
            }
        })?;
    }
    Ok(home)
}
